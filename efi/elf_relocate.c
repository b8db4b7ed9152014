/* The dynamic table of a loaded image, and the relocations it leads to: RELATIVE (also packed,
 * RELR) and the three symbol types that static linking can leave in a PIE. Pure; every access is
 * checked against the image. source: ELF-64; System V ABI, AMD64 supplement "Relocation"; generic
 * ABI "RELR". */
#include "elf.h"

#include "boot/elf.h"
#include "bytes.h"

enum {
    DT_PLTRELSZ = 2,
    DT_SYMTAB = 6,
    DT_RELSZ = 18,
    DT_PLTREL = 20,
    DT_RELRSZ = 35,
    R_64 = 1,
    R_GLOB_DAT = 6,
    R_JUMP_SLOT = 7,
};

struct loaded {
    const struct elf_image *image;
    uint8_t *memory;
    uint64_t slide;
    uint64_t symbols; /* DT_SYMTAB, 0: none */
    struct fault *fault;
};

/* What of the dynamic table matters, addresses as linked. */
struct dynamic {
    uint64_t rela, rela_bytes, rela_entry;
    uint64_t plt, plt_bytes, plt_type;
    uint64_t relr, relr_bytes;
    uint64_t rel_bytes;
};

/* The loaded bytes at va as linked, NULL unless all of them are in the image. */
static uint8_t *at(const struct loaded *l, uint64_t va, uint64_t bytes)
{
    uint64_t size = l->image->end - l->image->base, offset = va - l->image->base;
    if (va < l->image->base || offset > size || bytes > size - offset)
        return NULL;
    return l->memory + offset;
}

static bool read_dynamic(struct loaded *l, struct dynamic *out)
{
    for (uint64_t i = 0; i < l->image->dynamic_bytes / sizeof(struct elf64_dyn); i++) {
        const uint8_t *entry =
            at(l, l->image->dynamic_va + i * sizeof(struct elf64_dyn), sizeof(struct elf64_dyn));
        if (!entry)
            return fault_set(l->fault, "PT_DYNAMIC", FAULT_ONLY, "p_vaddr", l->image->dynamic_va,
                             "puts the dynamic table outside the loaded segments");
        uint64_t tag = load64(entry), value = load64(entry + 8);
        switch (tag) {
        case ELF_DT_NULL:
            return true;
        case ELF_DT_RELA:
            out->rela = value;
            break;
        case ELF_DT_RELASZ:
            out->rela_bytes = value;
            break;
        case ELF_DT_RELAENT:
            out->rela_entry = value;
            break;
        case ELF_DT_JMPREL:
            out->plt = value;
            break;
        case DT_PLTRELSZ:
            out->plt_bytes = value;
            break;
        case DT_PLTREL:
            out->plt_type = value;
            break;
        case ELF_DT_RELR:
            out->relr = value;
            break;
        case DT_RELRSZ:
            out->relr_bytes = value;
            break;
        case DT_RELSZ:
            out->rel_bytes = value;
            break;
        case DT_SYMTAB:
            l->symbols = value;
            break;
        default:
            break;
        }
    }
    return true;
}

/* Where the symbol lies after the slide; an undefined one is 0, as a weak reference expects. */
static bool symbol_value(const struct loaded *l, uint64_t i, uint64_t index, uint64_t *out)
{
    uint64_t va;
    const uint8_t *raw = NULL;
    if (l->symbols && add_ok(l->symbols, index * sizeof(struct elf64_sym), &va))
        raw = at(l, va, sizeof(struct elf64_sym));
    if (!raw)
        return fault_set(l->fault, "relocation", i, "symbol", index,
                         "is outside the loaded segments");
    struct elf64_sym symbol;
    memcpy(&symbol, raw, sizeof symbol);
    bool weak = symbol.st_info >> 4 == 2;
    if (!symbol.st_shndx && !weak && index)
        return fault_set(l->fault, "relocation", i, "symbol", index, "is undefined");
    *out = symbol.st_shndx ? symbol.st_value + l->slide : 0;
    return true;
}

static bool apply_rela(const struct loaded *l, uint64_t i, const struct elf64_rela *r)
{
    uint32_t type = (uint32_t)r->r_info;
    uint64_t value = l->slide;
    if (type == ELF_R_X86_64_NONE)
        return true;
    uint8_t *target = at(l, r->r_offset, 8);
    if (!target)
        return fault_set(l->fault, "relocation", i, "r_offset", r->r_offset,
                         "is outside the loaded segments");
    if (type == R_64 || type == R_GLOB_DAT || type == R_JUMP_SLOT) {
        if (!symbol_value(l, i, r->r_info >> 32, &value))
            return false;
    } else if (type != ELF_R_X86_64_RELATIVE) {
        return fault_set(l->fault, "relocation", i, "type", type,
                         "is not one that a loader can apply");
    }
    bool adds = type == ELF_R_X86_64_RELATIVE || type == R_64;
    store64(target, value + (adds ? (uint64_t)r->r_addend : 0));
    return true;
}

static bool apply_table(const struct loaded *l, const char *field, uint64_t va, uint64_t bytes)
{
    if (bytes == 0)
        return true;
    const uint8_t *table = at(l, va, bytes);
    if (!table)
        return fault_set(l->fault, "dynamic table", FAULT_ONLY, field, va,
                         "puts the relocations outside the loaded segments");
    for (uint64_t i = 0; i < bytes / sizeof(struct elf64_rela); i++) {
        struct elf64_rela
            r; /* copied: a hostile table need not be aligned, and may relocate itself */
        memcpy(&r, table + i * sizeof r, sizeof r);
        if (!apply_rela(l, i, &r))
            return false;
    }
    return true;
}

static bool slide_word(const struct loaded *l, uint64_t i, uint64_t va)
{
    uint8_t *target = at(l, va, 8);
    if (!target)
        return fault_set(l->fault, "packed relocation", i, "address", va,
                         "is outside the loaded segments");
    store64(target, load64(target) + l->slide);
    return true;
}

/* RELR: an even word is an address, an odd one a map of which of the next 63 words to slide. */
static bool apply_relr(const struct loaded *l, uint64_t va, uint64_t bytes)
{
    if (bytes && !at(l, va, bytes))
        return fault_set(l->fault, "dynamic table", FAULT_ONLY, "DT_RELR", va,
                         "puts the relocations outside the loaded segments");
    uint64_t next = 0;
    for (uint64_t i = 0; i < bytes / 8; i++) {
        uint64_t word = load64(at(l, va + 8 * i, 8));
        if (!(word & 1)) {
            if (!slide_word(l, i, word))
                return false;
            next = word + 8;
            continue;
        }
        for (uint64_t bits = word >> 1, where = next; bits; bits >>= 1, where += 8) {
            if (bits & 1 && !slide_word(l, i, where))
                return false;
        }
        next += 63 * 8;
    }
    return true;
}

bool elf_relocate(const struct elf_image *image, void *memory, uint64_t slide, struct fault *fault)
{
    struct loaded l = {.image = image, .memory = memory, .slide = slide, .fault = fault};
    struct dynamic d = {.rela_entry = sizeof(struct elf64_rela), .plt_type = ELF_DT_RELA};
    if (image->dynamic_bytes == 0)
        return true; /* nothing to relocate */
    if (!read_dynamic(&l, &d))
        return false;
    if (d.rela_bytes && d.rela_entry != sizeof(struct elf64_rela))
        return fault_set(fault, "dynamic table", FAULT_ONLY, "DT_RELAENT", d.rela_entry,
                         "must be 0x18");
    if (d.rel_bytes || (d.plt_bytes && d.plt_type != ELF_DT_RELA))
        return fault_set(fault, "dynamic table", FAULT_ONLY, "DT_RELSZ", d.rel_bytes,
                         "asks for relocations without addends, which x86-64 does not have");
    return apply_table(&l, "DT_RELA", d.rela, d.rela_bytes) &&
           apply_table(&l, "DT_JMPREL", d.plt, d.plt_bytes) && apply_relr(&l, d.relr, d.relr_bytes);
}
