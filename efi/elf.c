/* ELF64: the headers, checked; segments into memory; runs of pages with one protection. Relocation
 * is in elf_relocate.c. Pure. source: ELF-64 Object File Format; System V ABI, AMD64 supplement. */
#include "elf.h"

#include "boot/elf.h"
#include "bytes.h"

static bool parse_header(const struct elf64_ehdr *h, uint64_t bytes, struct fault *fault)
{
    static const uint8_t magic[4] = {0x7f, 'E', 'L', 'F'};
    if (memcmp(h->e_ident, magic, sizeof magic))
        return fault_set(fault, 0, 0, "e_ident", load32(h->e_ident),
                         "is not the magic of an ELF file");
    if (h->e_ident[4] != ELF_CLASS_64)
        return fault_set(fault, 0, 0, "EI_CLASS", h->e_ident[4], "is not that of a 64-bit ELF (2)");
    if (h->e_ident[5] != ELF_DATA_LITTLE)
        return fault_set(fault, 0, 0, "EI_DATA", h->e_ident[5], "is not little endian (1)");
    if (h->e_machine != ELF_MACHINE_X86_64)
        return fault_set(fault, 0, 0, "e_machine", h->e_machine, "is not x86-64 (0x3e)");
    if (h->e_type != ELF_TYPE_EXEC && h->e_type != ELF_TYPE_DYN)
        return fault_set(fault, 0, 0, "e_type", h->e_type, "is no executable (2) or PIE (3)");
    if (h->e_phentsize != sizeof(struct elf64_phdr))
        return fault_set(fault, 0, 0, "e_phentsize", h->e_phentsize, "must be 0x38");
    if (h->e_phnum == 0 || h->e_phnum > ELF_HEADERS_MAX)
        return fault_set(fault, 0, 0, "e_phnum", h->e_phnum, "must be 1 to 512");
    uint64_t end;
    if (!add_ok(h->e_phoff, (uint64_t)h->e_phnum * sizeof(struct elf64_phdr), &end) || end > bytes)
        return fault_set(fault, 0, 0, "e_phoff", h->e_phoff,
                         "puts the program headers beyond the end of the file");
    return true;
}

/* A PT_LOAD that has memory. */
static bool check_load(const struct elf64_phdr *p, uint64_t i, bool movable, uint64_t file_bytes,
                       struct fault *fault)
{
    static const char where[] = "program header";
    uint64_t end;
    if (p->p_memsz < p->p_filesz)
        return fault_set(fault, where, i, "p_memsz", p->p_memsz, "is less than p_filesz");
    if (p->p_memsz > ELF_BYTES_MAX)
        return fault_set(fault, where, i, "p_memsz", p->p_memsz, "is more than 1 GiB");
    if (p->p_filesz && (!add_ok(p->p_offset, p->p_filesz, &end) || end > file_bytes))
        return fault_set(fault, where, i, p->p_offset > file_bytes ? "p_offset" : "p_filesz",
                         p->p_offset > file_bytes ? p->p_offset : p->p_filesz,
                         "reaches beyond the end of the file");
    if (p->p_align > 1 && (!is_power_of_two(p->p_align) || p->p_align > ELF_BYTES_MAX))
        return fault_set(fault, where, i, "p_align", p->p_align, "is no power of two up to 1 GiB");
    if (p->p_filesz && p->p_align > 1 && ((p->p_vaddr ^ p->p_offset) & (p->p_align - 1)))
        return fault_set(fault, where, i, "p_vaddr", p->p_vaddr,
                         "is not congruent to p_offset modulo p_align");
    if (!add_ok(p->p_vaddr, p->p_memsz, &end) || end > ELF_WINDOW_END)
        return fault_set(fault, where, i, "p_vaddr", p->p_vaddr,
                         "plus p_memsz runs over the top of the address space");
    if (!movable && p->p_vaddr < ELF_WINDOW_BASE)
        return fault_set(fault, where, i, "p_vaddr", p->p_vaddr,
                         "is below ffffffff80000000, and the file is not position-independent");
    return true;
}

/* Put the segment in its place by address: files have them sorted,
 * so this hardly ever moves one. */
static bool insert_segment(struct elf_image *image, const struct elf64_phdr *p, uint64_t i,
                           struct fault *fault)
{
    if (image->nsegments == ELF_SEGMENTS_MAX)
        return fault_set(fault, "program header", i, "e_phnum", i, "is one PT_LOAD more than 64");
    size_t at = image->nsegments;
    while (at > 0 && image->segments[at - 1].va > p->p_vaddr) {
        image->segments[at] = image->segments[at - 1];
        at--;
    }
    image->segments[at] = (struct elf_segment){
        .va = p->p_vaddr,
        .memory_bytes = p->p_memsz,
        .offset = p->p_offset,
        .file_bytes = p->p_filesz,
        .flags = p->p_flags & (ELF_PF_R | ELF_PF_W | ELF_PF_X),
    };
    image->nsegments++;
    bool hits_below =
        at > 0 && image->segments[at - 1].va + image->segments[at - 1].memory_bytes > p->p_vaddr;
    bool hits_above =
        at + 1 < image->nsegments && p->p_vaddr + p->p_memsz > image->segments[at + 1].va;
    if (hits_below || hits_above)
        return fault_set(fault, "program header", i, "p_vaddr", p->p_vaddr,
                         "overlaps another segment");
    if (p->p_align > image->align)
        image->align = p->p_align;
    return true;
}

/* Base, end and what can only be judged when all segments are known. */
static bool finish_image(struct elf_image *image, struct fault *fault)
{
    if (image->nsegments == 0)
        return fault_set(fault, 0, 0, "e_phnum", 0, "has no PT_LOAD with memory in it");
    const struct elf_segment *last = &image->segments[image->nsegments - 1];
    image->base = round_down(image->segments[0].va, PAGE_BYTES);
    image->end = round_up(last->va + last->memory_bytes, PAGE_BYTES);
    if (image->end - image->base > ELF_BYTES_MAX)
        return fault_set(fault, 0, 0, "p_vaddr", last->va,
                         "puts the segments more than 1 GiB apart from first to last");
    uint64_t end;
    if (image->dynamic_bytes &&
        (image->dynamic_va < image->base ||
         !add_ok(image->dynamic_va, image->dynamic_bytes, &end) || end > image->end))
        return fault_set(fault, "PT_DYNAMIC", FAULT_ONLY, "p_vaddr", image->dynamic_va,
                         "puts the dynamic table outside the loaded segments");
    return true;
}

bool elf_parse(const void *file, uint64_t bytes, struct elf_image *out, struct fault *fault)
{
    struct elf64_ehdr header;
    if (bytes < sizeof header)
        return fault_set(fault, 0, 0, "size", bytes, "is too small for an ELF header");
    memcpy(&header, file, sizeof header);
    if (!parse_header(&header, bytes, fault))
        return false;

    struct elf_image image = {
        .file = file,
        .file_bytes = bytes,
        .movable = header.e_type == ELF_TYPE_DYN,
        .entry = header.e_entry,
        .align = PAGE_BYTES,
    };
    for (uint64_t i = 0; i < header.e_phnum; i++) {
        struct elf64_phdr p; /* copied: e_phoff need not be aligned */
        memcpy(&p, image.file + header.e_phoff + i * sizeof p, sizeof p);
        if (p.p_type == ELF_PT_DYNAMIC) {
            image.dynamic_va = p.p_vaddr;
            image.dynamic_bytes = p.p_memsz;
        }
        if (p.p_type != ELF_PT_LOAD || (p.p_memsz == 0 && p.p_filesz == 0))
            continue; /* empty PT_LOADs are common and mean nothing */
        if (!check_load(&p, i, image.movable, bytes, fault) ||
            !insert_segment(&image, &p, i, fault))
            return false;
    }
    if (!finish_image(&image, fault))
        return false;
    *out = image;
    return true;
}

void elf_load(const struct elf_image *image, void *memory)
{
    uint8_t *to = memory;
    uint64_t done = image->base; /* everything below is written */
    for (size_t i = 0; i < image->nsegments; i++) {
        const struct elf_segment *s = &image->segments[i];
        memset(to + (done - image->base), 0, s->va - done);
        memcpy(to + (s->va - image->base), image->file + s->offset, s->file_bytes);
        done = s->va + s->file_bytes;
    }
    memset(to + (done - image->base), 0, image->end - done);
}

/* Add pages, joining them to the run before if they continue it with the same protection. */
static size_t push_run(struct elf_run *runs, size_t n, uint64_t va, uint64_t bytes, uint32_t flags)
{
    if (bytes == 0)
        return n;
    if (n && runs[n - 1].va + runs[n - 1].bytes == va && runs[n - 1].flags == flags) {
        runs[n - 1].bytes += bytes;
        return n;
    }
    runs[n] = (struct elf_run){va, bytes, flags};
    return n + 1;
}

size_t elf_runs(const struct elf_image *image, struct elf_run runs[static ELF_RUNS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < image->nsegments; i++) {
        const struct elf_segment *s = &image->segments[i];
        uint64_t begin = round_down(s->va, PAGE_BYTES);
        uint64_t end = round_up(s->va + s->memory_bytes, PAGE_BYTES);
        uint64_t done = n ? runs[n - 1].va + runs[n - 1].bytes : begin;
        if (done > begin) { /* shares the page that ends at done with the segment before */
            uint32_t both = runs[n - 1].flags | s->flags;
            runs[n - 1].bytes -= PAGE_BYTES;
            if (runs[n - 1].bytes == 0)
                n--;
            n = push_run(runs, n, done - PAGE_BYTES, PAGE_BYTES, both);
            begin = done;
        }
        n = push_run(runs, n, begin, end > begin ? end - begin : 0, s->flags);
    }
    return n;
}

bool elf_is_executable(const struct elf_image *image, uint64_t va)
{
    for (size_t i = 0; i < image->nsegments; i++) {
        const struct elf_segment *s = &image->segments[i];
        if (s->flags & ELF_PF_X && va >= s->va && va - s->va < s->memory_bytes)
            return true;
    }
    return false;
}
