/* Owns: the number of frames; the caller has the stores. Relies on: the pmm. Stage: from "frames" on. */
#include "store.h"

#include "mm/hhdm.h"
#include "mm/pmm.h"

static uint64_t frames; /* that were given out; with the caller's lock */

void *store_frames(uint64_t nframes)
{
    static const struct pmm_limits limits = {.kind = PMM_LONG, .zeroed = true};
    paddr_t base;
    if (pmm_alloc_frames(nframes, &limits, &base) != MM_OK)
        return NULL;
    frames += nframes;
    return phys_to_virt(base);
}

void store_give_frames(void *base, uint64_t nframes)
{
    frames -= nframes;
    pmm_free_frames(virt_to_phys(base), nframes);
}

uint64_t store_count_frames(void)
{
    return frames;
}

void store_forget(void)
{
    frames = 0;
}

uint32_t store_add(struct store *store)
{
    size_t each = FRAME_BYTES / store->bytes;
    uint32_t number = store->count + 1;
    size_t frame = number / each, room = frame / STORE_POINTERS;
    if (room >= STORE_ROOMS)
        return 0;
    if (store->rooms[room] == NULL && (store->rooms[room] = store_frames(1)) == NULL)
        return 0;
    void **place = &store->rooms[room][frame % STORE_POINTERS];
    if (*place == NULL && (*place = store_frames(1)) == NULL)
        return 0;
    __atomic_store_n(&store->count, number, __ATOMIC_RELEASE);
    return number;
}
