/* Page tables as they are often written: each page of a range by a walk from the root, tables made on
 * the way and zeroed, one at a time; freed when the walk has left the last page in them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"

#define PRESENT  1ull
#define WRITABLE 2ull
#define LARGE    0x80ull
#define ADDRESS  0x000ffffffffff000ull

#define FRAMES 33000

/* Its frames are its own, one stack of them: nothing is faster, and the pmm is not disturbed. */
static paddr_t root, frames[FRAMES];
static unsigned nfree;

static uint64_t *memory(uint64_t entry)
{
    return phys_to_virt(PA(entry & ADDRESS));
}

static uint64_t new_table(void)
{
    if (nfree == 0) {
        fprintf(stderr, "bench-pages: no frame for a table\n");
        exit(2);
    }
    paddr_t frame = frames[--nfree];
    memset(phys_to_virt(frame), 0, PAGE_BYTES);
    return frame.v | PRESENT | WRITABLE;
}

/* The slot of va in the table whose entries cover 1 << shift bytes. */
static uint64_t *slot_of(uint64_t va, unsigned shift, bool make)
{
    uint64_t *table = phys_to_virt(root);
    for (unsigned s = 39; s > shift; s -= 9) {
        uint64_t *slot = &table[va >> s & 511];
        if ((*slot & PRESENT) == 0) {
            if (!make)
                return NULL;
            *slot = new_table();
        }
        table = memory(*slot);
    }
    return &table[va >> shift & 511];
}

void walk_start(void)
{
    if (pmm_alloc_batch(FRAMES, NULL, frames) != MM_OK)
        exit(2);
    for (nfree = 0; nfree < FRAMES; nfree++)
        memset(phys_to_virt(frames[nfree]), 0, PAGE_BYTES); /* backs it */
    root = PA(new_table() & ADDRESS);
}

void walk_stop(void)
{
    frames[nfree++] = root;
    if (nfree != FRAMES || pmm_free_batch(frames, FRAMES) != MM_OK)
        exit(2);
}

void walk_map(uint64_t va, uint64_t pa, uint64_t bytes, uint64_t page_bytes)
{
    unsigned shift = page_bytes == PAGE_BYTES ? 12 : 21;
    for (uint64_t at = 0; at < bytes; at += page_bytes) {
        volatile uint64_t *slot = slot_of(va + at, shift, true);
        if ((*slot & PRESENT) == 0)
            *slot = (pa + at) | PRESENT | WRITABLE | (shift == 12 ? 0 : LARGE);
    }
}

/* Free the tables above va that are empty, from the one on whose slots cover 1 << shift bytes. */
static void free_empty(uint64_t va, unsigned shift)
{
    for (; shift < 39; shift += 9) {
        uint64_t *above = slot_of(va, shift + 9, false), *table = memory(*above);
        for (unsigned i = 0; i < 512; i++)
            if (table[i] != 0)
                return;
        frames[nfree++] = PA(*above & ADDRESS);
        *above = 0;
    }
}

void walk_unmap(uint64_t va, uint64_t bytes, uint64_t page_bytes)
{
    unsigned shift = page_bytes == PAGE_BYTES ? 12 : 21;
    for (uint64_t at = va; at < va + bytes; at += page_bytes) {
        volatile uint64_t *slot = slot_of(at, shift, false);
        if (slot == NULL || (*slot & PRESENT) == 0)
            exit(2);
        *slot = 0;
        if ((at >> shift & 511) == 511 || at + page_bytes == va + bytes)
            free_empty(at, shift);
    }
}

void walk_protect(uint64_t va, uint64_t bytes)
{
    for (uint64_t at = va; at < va + bytes; at += PAGE_BYTES) {
        volatile uint64_t *slot = slot_of(at, 12, false);
        if (slot != NULL)
            *slot &= ~WRITABLE;
    }
}

uint64_t walk_translate(uint64_t va)
{
    uint64_t entry = root.v;
    for (unsigned s = 39;; s -= 9) {
        entry = memory(entry)[va >> s & 511];
        if ((entry & PRESENT) == 0)
            return UINT64_MAX;
        if (s == 12 || (entry & LARGE) != 0)
            return (entry & ADDRESS & ~((1ull << s) - 1)) | (va & ((1ull << s) - 1));
    }
}
