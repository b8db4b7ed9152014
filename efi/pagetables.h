/* The page tables a kernel is entered with, built in a pool of pages given beforehand. Pure, so it
 * can run after the last allocation. source: Intel SDM Vol. 3A "4-Level Paging and 5-Level Paging";
 * Limine "Entry memory layout", "Caching". */
#ifndef QL_EFI_PAGETABLES_H
#define QL_EFI_PAGETABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf.h"
#include "limine_map.h"
#include "status.h"

#define PAGE_PRESENT 0x1ull
#define PAGE_WRITE   0x2ull
#define PAGE_UC      0x18ull /* PCD and PWT: entry 3, also of the PAT after reset */
#define PAGE_WC      0x88ull /* PAT and PWT: entry 5 of the protocol's PAT */
#define PAGE_NX      (1ull << 63)

/* Physical addresses the direct map has room for below what a kernel keeps for itself: with 4 levels
 * half of its half, with 5 the highest entry of the root. There it fits in many places. */
#define HHDM_BYTES_MAX_4 (1ull << 46)
#define HHDM_BYTES_MAX_5 (1ull << 52)
#define HHDM_SLIDE_BYTES (1ull << 39)
#define HHDM_SLIDES_5    (((255ull << 48) - HHDM_BYTES_MAX_5) / HHDM_SLIDE_BYTES + 1)

struct page_tables {
    uint64_t *pool; /* identity-mapped pages; the first is the root */
    size_t used, capacity;
    unsigned levels;    /* 4 or 5 */
    bool nx, huge_1gib; /* what the CPU has */
};

/* Pages that these tables, of which levels and huge_1gib are set, can need at most: for an image of
 * so many bytes and this map at hhdm, and for more runs of memory that the map may come to have. */
size_t tables_bound(const struct page_tables *tables, uint64_t image_bytes,
                    const struct limine_map *map, uint64_t base_revision, uint64_t hhdm,
                    size_t more_runs);

/* Begin with an empty root. */
void tables_reset(struct page_tables *tables);

/* Map [va, va + bytes) to pa with the largest pages that fit; flags in the form of a 4 KiB entry.
 * errors: false if the pool is used up or something is mapped there already */
bool tables_map(struct page_tables *tables, uint64_t va, uint64_t pa, uint64_t bytes,
                uint64_t flags) MUST_USE;

/* Map what base revision 3 and up ask for at hhdm: whole runs of mapped memory, framebuffers WC. */
bool tables_map_hhdm(struct page_tables *tables, const struct limine_map *map,
                     uint64_t base_revision, uint64_t hhdm) MUST_USE;

/* Map the image's pages, slid, with the protection of their segments. pa: of the image's base. */
bool tables_map_image(struct page_tables *tables, const struct elf_image *image, uint64_t slide,
                      uint64_t pa) MUST_USE;

#endif
