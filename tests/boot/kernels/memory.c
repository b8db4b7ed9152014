/* The memory map and what is mapped; the image. */
#include "kernel.h"

extern const char image_begin[], image_end[], text_begin[], text_end[], rodata_begin[],
    rodata_end[], data_begin[], data_end[];

static bool mapped_type(uint64_t type)
{
    return type == 0 || type == 5 || type == 6 || type == 7 ||
           (REVISION >= 4 && (type == 2 || type == 3 || type == 8));
}

static void check_hhdm_page(const struct limine_memmap_entry *e, uint64_t pa)
{
    struct mapping m = walk(hhdm() + pa);
    if (!mapped_type(e->type)) {
        check(!m.present, "memory that must not be mapped", pa);
        return;
    }
    check(m.present && m.pa == pa, "HHDM maps the memory map's entry", pa);
    check(m.writable && m.executable && !m.user, "HHDM is RWX, supervisor", pa);
    check(m.pat == (e->type == 7 ? 5 : 0), "caching of the HHDM", pa);
}

/* Each large page of it, and the pages at its ends. */
static void check_entry(const struct limine_memmap_entry *e)
{
    uint64_t end = e->base + e->length;
    for (uint64_t pa = e->base; pa < end;) {
        check_hhdm_page(e, pa);
        struct mapping m = walk(hhdm() + pa);
        uint64_t step = m.present ? m.bytes : 0x200000;
        pa = (pa & ~(step - 1)) + step;
    }
    check_hhdm_page(e, end - 0x1000);
}

void check_memory(void)
{
    const struct limine_memmap_response *r = response_of(&memmap_request, "memory map response");
    uint64_t end = 0, bytes[9] = {0}, last_type = 99;
    check(response_of(&hhdm_request, "HHDM response") != NULL &&
              hhdm() >= (levels() == 5 ? 0xff00000000000000 : 0xffff800000000000),
          "HHDM", hhdm());
    check(type_of((uintptr_t)r - hhdm()) == 5, "responses in reclaimable memory", (uintptr_t)r);
    for (uint64_t i = 0; i < r->entry_count; i++) {
        const struct limine_memmap_entry *e = ((const struct limine_memmap_entry **)r->entries)[i];
        check(e->length != 0 && e->base + e->length > e->base, "entry not empty", i);
        check(e->base >= end, "entries sorted, not overlapping", e->base);
        check(e->base > end || e->type != last_type, "neighbours of one type joined", e->base);
        check(!(e->base & 0xfff) && !(e->length & 0xfff), "entry page aligned", e->base);
        check(e->type <= (REVISION >= 4 ? 8 : 7), "entry type", e->type);
        end = e->base + e->length;
        last_type = e->type;
        if (e->type < 9)
            bytes[e->type] += e->length;
        check_entry(e);
    }
    check(bytes[0] > 8 << 20, "usable memory", bytes[0]);
    check(bytes[6] == (uint64_t)(image_end - image_begin), "executable memory", bytes[6]);
    say("KERNEL %u entries, usable %u KiB, reclaimable %u KiB, mapped reserved %u KiB\r\n",
        r->entry_count, bytes[0] >> 10, bytes[5] >> 10, bytes[8] >> 10);
}

static void check_range(const char *begin, const char *end, bool writable, bool executable,
                        const char *what)
{
    const struct limine_executable_address_response *r =
        (const void *)(uintptr_t)address_request.response;
    for (const char *p = begin; p < end; p += 0x1000) {
        struct mapping m = walk((uintptr_t)p);
        check(m.present && m.writable == writable && m.executable == executable && !m.user &&
                  !m.pat,
              what, (uintptr_t)p);
        check(r && m.pa == r->physical_base + ((uintptr_t)p - r->virtual_base), "image contiguous",
              (uintptr_t)p);
        check(type_of(m.pa) == 6, "image is executable memory", m.pa);
    }
}

/* Relocated words: they must equal what the instruction pointer says. */
static const void *const pointers[] = {check_image, check_memory, text_begin, pointers};
#define ZEROS 0x21000
static volatile char zeros[ZEROS] __attribute__((aligned(4096)));

void check_image(void)
{
    const struct limine_executable_address_response *r =
        response_of(&address_request, "executable address response");
    check(r->virtual_base == (uintptr_t)image_begin, "virtual base", r->virtual_base);
    check(!(r->physical_base & 0xfff), "physical base", r->physical_base);
    check((uintptr_t)image_begin >= 0xffffffff80000000, "image in the window",
          (uintptr_t)image_begin);
    check_range(text_begin, text_end, false, true, "text is R-X");
    check_range(rodata_begin, rodata_end, false, false, "rodata is R--");
    check_range(data_begin, data_end, true, false, "data is RW-");
    for (unsigned i = 0; i < sizeof zeros; i += 64)
        check(zeros[i] == 0, "bss is zero", i);

    const void *const volatile *p = pointers; /* read from memory, not known to the compiler */
    const void *here[] = {check_image, check_memory, text_begin, pointers};
    for (unsigned i = 0; i < 4; i++)
        check(p[i] == here[i], "relocated pointer", (uintptr_t)p[i]);
    say("KERNEL at %x, physical %x, entered by %s\r\n", r->virtual_base, r->physical_base,
        entry_state.by_request ? "request" : "header");
#ifdef ENTRY_REQUEST
    check(entry_state.by_request, "entry point request honoured", 0);
#endif
}
