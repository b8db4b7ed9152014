/* The least that mapping can cost: the leaf tables filled, and nothing else; and for unmapping, the
 * leaf tables cleared. General registers only, like the kernel. */
#include <stdio.h>
#include <stdlib.h>

#include "pages.h"

#define SLOTS 512u

static struct {
    uint64_t ntables;
    paddr_t *frames;
} tables;

void floor_start(uint64_t ntables)
{
    const struct pmm_limits limits = {.kind = PMM_LONG};
    tables.ntables = ntables;
    tables.frames = calloc(ntables, sizeof *tables.frames);
    if (tables.frames == NULL || pmm_alloc_batch(ntables, &limits, tables.frames) != MM_OK) {
        fprintf(stderr, "bench-pages: no memory for %lu tables\n", ntables);
        exit(2);
    }
    floor_fill(ntables * SLOTS, 0, PAGE_BYTES);
}

void floor_stop(void)
{
    if (pmm_free_batch(tables.frames, tables.ntables) != MM_OK)
        exit(2);
    free(tables.frames);
}

static uint64_t *table(uint64_t i)
{
    return phys_to_virt(tables.frames[i]);
}

/* Entries of a table in which everything is present and writable, by fours: volatile, so that no
 * vector register is used. */
static void fill(volatile uint64_t *slot, unsigned n, uint64_t e, uint64_t step)
{
    for (; n >= 4; n -= 4, slot += 4, e += 4 * step) {
        slot[0] = e;
        slot[1] = e + step;
        slot[2] = e + 2 * step;
        slot[3] = e + 3 * step;
    }
    for (; n > 0; n--, slot++, e += step)
        *slot = e;
}

void floor_fill(uint64_t n, uint64_t pa, uint64_t page_bytes)
{
    for (uint64_t i = 0; i < n; i += SLOTS) {
        unsigned some = n - i < SLOTS ? (unsigned)(n - i) : SLOTS;
        uint64_t e = (pa + i * page_bytes) | 3 | (page_bytes == PAGE_BYTES ? 0 : 0x80);
        if (page_bytes == PAGE_BYTES)
            fill(table(i / SLOTS), some, e, PAGE_BYTES);
        else
            fill(table(i / SLOTS), some, e, HUGE_2M);
    }
}

void floor_clear(uint64_t n)
{
    for (uint64_t i = 0; i < n; i += SLOTS) {
        uint64_t count = n - i < SLOTS ? n - i : SLOTS;
        void *to = table(i / SLOTS);
        __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0) : "memory");
    }
}
