/* The shadow: where it is, and what it says. Internal to kernel/kasan/. */
#ifndef QL_KASAN_SHADOW_H
#define QL_KASAN_SHADOW_H

#include "kasan/kasan.h"
#include "mm/vmm.h"

#define GRAIN_BYTES 8ull                       /* of memory, to a byte of shadow */
#define PIECE_BYTES (PAGE_BYTES * GRAIN_BYTES) /* to a page of shadow */
#define CHUNK_BYTES (HUGE_2M * GRAIN_BYTES)    /* to a large page of shadow */
#define CHUNKS_MAX  8192u                      /* that are in a table: 128 GiB */
#define SEEN_PIECES 1024u                      /* of kernel ranges, that are remembered */

/* What is watched. Written before it is used, by the only CPU there is. */
struct kasan {
    bool on;
    bool all;                    /* of RAM is watched */
    uint64_t ram, ram_bytes;     /* the direct map, from the beginning of a chunk on */
    uint64_t watched_bytes;      /* of it: behind that, nothing is watched */
    uint64_t table_bytes;        /* how much of that is in the table */
    uint64_t image, image_bytes; /* in whole pieces */
    uint64_t nchunks;            /* that are watched */
    uint8_t chunks[CHUNKS_MAX];  /* 1: watched */
    uint64_t seen[SEEN_PIECES];  /* pieces that are, by the low bits of their numbers; atomic */
};
extern struct kasan kasan;

/* The shadow of an address: an eighth of the address, as a number with a sign. So that of the upper
 * half is at its end, whatever its size. */
static inline uint64_t shadow_number(uint64_t address)
{
    return (uint64_t)((int64_t)address >> 3);
}

static inline int8_t *shadow_pointer(uint64_t address)
{
    return (int8_t *)(uintptr_t)shadow_number(address); /* mapped, if the address is watched */
}

/* The same where that is not known without a look at the page tables: NULL if there is none. Remembers
 * what it found, which lasts. */
int8_t *shadow_look(uint64_t address);

/* The stacks of CPUs are in the window: the page tables are not asked each time. */
static inline int8_t *shadow_in_window(uint64_t address)
{
    uint64_t piece = address / PIECE_BYTES;
    bool seen = __atomic_load_n(&kasan.seen[piece % SEEN_PIECES], __ATOMIC_RELAXED) == piece;
    return seen ? shadow_pointer(address) : shadow_look(address);
}

/* The shadow byte of an address; NULL if that is not watched. What is watched is so in whole
 * pieces. */
static inline int8_t *shadow_of(uint64_t address)
{
    if (address - kasan.ram < kasan.table_bytes)
        return kasan.chunks[(address - kasan.ram) / CHUNK_BYTES] ? shadow_pointer(address) : NULL;
    if (address - kasan.image < kasan.image_bytes)
        return shadow_pointer(address);
    if (address - VMM_WINDOW_BASE < VMM_WINDOW_END - VMM_WINDOW_BASE)
        return shadow_in_window(address);
    return address - kasan.ram < kasan.watched_bytes ? shadow_look(address) : NULL;
}

/* The first byte of a range that must not be touched. */
bool shadow_find_bad(uint64_t address, uint64_t bytes, uint64_t *bad);

/* Say what was done, and panic. */
_Noreturn void kasan_report(uint64_t address, uint64_t bytes, bool write);

/* The global variable beside which an address is; NULL if there is none. */
struct global {
    uint64_t address;
    uint64_t bytes, bytes_with_zone;
    const char *name, *file;
    uint64_t constructed; /* by code, in C++ */
    const void *location;
    uint64_t odr;
};
const struct global *kasan_global(uint64_t address);

#endif
