/* Owns: the start of the pmm, and what happens seldom: particular frames, nodes, added memory.
 * Relies on: zones, blocks. Stage: pmm_init is the stage "frames".
 *
 * What happens seldom stops the other CPUs' calls and empties their caches first, and is then as
 * simple as if there were one CPU: no block is owned, every free frame is in its line. */
#include "check.h"
#include "mm/hhdm.h"
#include "mm/kasan.h"
#include "mm/string.h"
#include "state.h"

/* --- CPUs -------------------------------------------------------------------- */

static struct mm_cpu boot_cpu;

#ifdef QL_HOST
struct mm_cpu mm_cpu_none = {
    .frames = {.steal = 1}, /* always stolen, and cache_wait says why */
    .heap.stopped = 1,
    .heap.none = {.until = INT32_MIN / 2}, /* always the long way */
    .heap.lanes[0 ... CLASS_COUNT - 1] = {.until = INT32_MIN / 2},
    .heap.lane_of[0 ... CLASS_TABLE_BYTES] = LANE_NONE,
    .heap.lane_of_more[0 ... HEAP_CLASS_BYTES / CLASS_MORE_STEP - 1] = LANE_NONE,
};
#endif

static void add_cpu(unsigned cpu, struct mm_cpu *share)
{
    cache_init(&share->frames, cpu);
    share_init(&share->heap, cpu);
    __atomic_store_n(&pmm.caches[cpu], &share->frames, __ATOMIC_RELEASE);
    CACHE_SET(pmm.ncpus, pmm.ncpus + 1);
    if (pmm.cpu_limit <= cpu)
        CACHE_SET(pmm.cpu_limit, cpu + 1);
}

void mm_cpu_place(unsigned cpu, struct mm_cpu *share)
{
    irq_state_t irq = pmm_stop_others();
    add_cpu(cpu, share);
    pmm_resume_others(irq);
}

mm_status_t mm_cpu_create(unsigned cpu, struct mm_cpu **out)
{
    static const struct pmm_limits stays = {.kind = PMM_LONG};
    paddr_t frames;
    if (cpu >= CONFIG_CPUS_MAX)
        return MM_RANGE;
    if (pmm.caches[cpu] == NULL) {
        mm_status_t status =
            pmm_alloc_frames(bytes_to_frames(sizeof(struct mm_cpu)), &stays, &frames);
        if (status != MM_OK)
            return status;
        memset(phys_to_virt(frames), 0, sizeof(struct mm_cpu));
        mm_cpu_place(cpu, phys_to_virt(frames));
    }
    *out = mm_cpu_of(pmm.caches[cpu]);
    return MM_OK;
}

size_t mm_cpu_bytes(void)
{
    return sizeof(struct mm_cpu);
}

void pmm_leave(void)
{
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_enter();
    cache_release_all(c);
    cache_leave(c);
    irq_restore(irq);
}

/* One barrier for all. Ascending, so that two who do this wait for each other in one direction. */
irq_state_t pmm_stop_others(void)
{
    irq_state_t irq = irq_save();
    for (unsigned i = 0; i < CACHE_GET(pmm.cpu_limit); i++) /* constant once the first is stopped */
        if (pmm.caches[i] != NULL)
            cache_take(pmm.caches[i]);
    port_barrier_all();
    for (unsigned i = 0; i < pmm.cpu_limit; i++) {
        if (pmm.caches[i] == NULL)
            continue;
        while (__atomic_load_n(&pmm.caches[i]->busy, __ATOMIC_ACQUIRE) != 0)
            port_relax();
    }
    for (unsigned i = 0; i < pmm.cpu_limit; i++)
        if (pmm.caches[i] != NULL)
            cache_release_all(pmm.caches[i]);
    return irq;
}

void pmm_resume_others(irq_state_t irq)
{
    for (unsigned i = pmm.cpu_limit; i-- > 0;)
        if (pmm.caches[i] != NULL)
            cache_unsteal(pmm.caches[i]);
    irq_restore(irq);
}

void pmm_drain(void)
{
    pmm_resume_others(pmm_stop_others());
}

/* --- Start -------------------------------------------------------------------- */

/* The top of the highest usable region with room; frame 0 does not count as room. */
static mm_status_t place(const struct mem_region *map, size_t n, uint64_t nframes, uint64_t *base)
{
    for (size_t i = n; i-- > 0;) {
        uint64_t frames = map[i].bytes >> FRAME_SHIFT;
        if (map[i].type != MEM_USABLE || frames < nframes)
            continue;
        *base = frame_number(map[i].base) + frames - nframes;
        if (*base != 0)
            return MM_OK;
    }
    return MM_NOMEM;
}

mm_status_t pmm_init(const struct mem_region *map, size_t n)
{
    static const struct node_piece one_node = {PA(0), 0};
    if (!region_validate(map, n))
        return MM_INVAL;
    uint64_t base, nframes = bytes_to_frames(zone_metadata_bytes(map, n));
    mm_status_t status = place(map, n, nframes, &base);
    if (status != MM_OK)
        return status;
    if (pmm.ncpus != 0) { /* again: else all is 0, and what is not used should not be touched */
        memset(&pmm, 0, sizeof pmm);
        memset(&boot_cpu, 0, sizeof boot_cpu);
    }
    pmm.pieces = &one_node;
    pmm.npieces = 1;
    add_cpu(0, &boot_cpu);
    port_set_mm_cpu(&boot_cpu);
    zone_init(&pmm.zones[0], map, n, base, nframes);
    __atomic_store_n(&pmm.nzones, 1, __ATOMIC_RELEASE);
    return MM_OK;
}

/* --- Frames of particular blocks ------------------------------------------------ */

/* Call change for the part in each block of [frame, frame + n) of a zone, which has them all. */
static void each_part(struct zone *z, uint64_t frame, uint64_t n,
                      void (*change)(struct zone *z, uint64_t b, unsigned first, unsigned n))
{
    for (uint64_t end = frame + n; frame < end;) {
        uint64_t room = BLOCK_FRAMES - frame % BLOCK_FRAMES, b;
        unsigned part = (unsigned)(end - frame < room ? end - frame : room);
        if (zone_find_block(z, frame >> BLOCK_SHIFT, &b))
            change(z, b, frame % BLOCK_FRAMES, part);
        frame += part;
    }
}

static void use_part(struct zone *z, uint64_t b, unsigned first, unsigned n)
{
    ASSERT(block_own_any(z, b, BOOT_OWNER));
    block_take(z, b, first, n);
    kasan_allow_frames(frame_address((zone_block_number(z, b) << BLOCK_SHIFT) + first), n);
    block_settle(z, b, BOOT_OWNER);
}

/* A block that is ours as a whole now need not be looked at closely any more. */
static void gain_part(struct zone *z, uint64_t b, unsigned first, unsigned n)
{
    uint64_t base = zone_block_number(z, b) << BLOCK_SHIFT;
    ASSERT(block_own_any(z, b, BOOT_OWNER));
    kasan_forbid_frames(frame_address(base + first), n);
    size_t bad = bad_find(base);
    if (zone_is_ours(z, base, BLOCK_FRAMES) &&
        (bad == pmm.nbad || pmm.bad[bad].frame >= base + BLOCK_FRAMES))
        __atomic_fetch_and(&z->entries[b], ~ENTRY_RAGGED, __ATOMIC_SEQ_CST);
    for (unsigned r = 0; r < LINE_ROWS; r++)
        __atomic_fetch_and(&z->lines[b][r], ~line_part(first, n, r), __ATOMIC_SEQ_CST);
    for (bad = bad_find(base + first); bad < pmm.nbad && pmm.bad[bad].frame < base + first + n;
         bad++) {
        block_take(z, b, pmm.bad[bad].frame % BLOCK_FRAMES, 1); /* retired while it was not ours */
        pmm.bad[bad].in_use = false;
    }
    block_settle(z, b, BOOT_OWNER);
}

uint64_t pmm_reclaim(void)
{
    uint64_t gained = 0;
    irq_state_t irq = pmm_stop_others();
    struct zone *z = &pmm.zones[0];
    bool again = pmm.reclaimed;
    pmm.reclaimed = true;
    for (size_t i = 0; i < z->nspans; i++) {
        struct span *s = &z->spans[i];
        if (s->kind != SPAN_RECLAIMABLE)
            continue;
        s->kind = SPAN_RAM;
        each_part(z, s->base, s->end - s->base, gain_part);
        gained += s->end - s->base - (bad_find(s->end) - bad_find(s->base));
    }
    pmm_resume_others(irq);
    if (again)
        port_misuse("pmm: bootloader memory was reclaimed already");
    return gained;
}

/* MM_OK if all the frames are free. */
static mm_status_t check_free(struct zone **zone, uint64_t frame, uint64_t n)
{
    bool used = false;
    for (uint64_t end = frame + n; frame < end; frame++) {
        uint64_t b;
        struct zone *z = pmm_find_block(frame >> BLOCK_SHIFT, &b);
        if (z == NULL || !zone_has_frame(z, frame))
            return MM_NOTFOUND;
        used = used || (!tree_has(&z->whole, b) && block_is_used(z, b, frame % BLOCK_FRAMES, 1));
        if (*zone != NULL && *zone != z)
            return MM_INVAL;
        *zone = z;
    }
    return used ? MM_EXISTS : MM_OK;
}

mm_status_t pmm_mark_used(paddr_t base, uint64_t nframes)
{
    uint64_t frame = frame_number(base);
    struct zone *z = NULL;
    if (nframes == 0 || !pa_aligned(base, FRAME_BYTES))
        return MM_INVAL;
    if (!range_fits(frame, nframes, PADDR_LIMIT >> FRAME_SHIFT))
        return MM_NOTFOUND;
    irq_state_t irq = pmm_stop_others();
    mm_status_t status = check_free(&z, frame, nframes);
    if (status == MM_OK)
        each_part(z, frame, nframes, use_part);
    pmm_resume_others(irq);
    return status;
}

mm_status_t pmm_mark_free(paddr_t base, uint64_t nframes)
{
    return pmm_free_frames(base, nframes);
}

/* True if that CPU keeps the frame. While it changes what it keeps a slot may seem to be another
 * block's: looked at again when it is at rest. */
static bool is_kept(const struct pmm_cache *c, const struct zone *z, uint64_t b, uint64_t frame)
{
    for (;;) {
        uint64_t seq = __atomic_load_n(&c->seq, __ATOMIC_ACQUIRE);
        bool keeps = cache_keeps(c, z, b, frame >> BLOCK_SHIFT, frame % BLOCK_FRAMES, 1);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        if (!keeps || (seq % 2 == 0 && seq == CACHE_GET(c->seq)))
            return keeps;
        port_relax();
    }
}

bool pmm_is_used(paddr_t frame)
{
    uint64_t number = frame_number(frame), b;
    struct zone *z = pmm_find_block(number >> BLOCK_SHIFT, &b);
    if (z == NULL || !zone_has_frame(z, number))
        return false;
    if (tree_has(&z->whole, b) || !block_is_used(z, b, number % BLOCK_FRAMES, 1))
        return false;
    unsigned owner = entry_owner(block_entry(z, b));
    return owner == 0 || !is_kept(pmm.caches[owner - 1], z, b, number);
}

/* --- Bad frames ------------------------------------------------------------------ */

size_t bad_find(uint64_t frame)
{
    size_t low = 0, high = pmm.nbad;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pmm.bad[middle].frame < frame)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static mm_status_t retire(uint64_t frame)
{
    uint64_t b;
    size_t at = bad_find(frame);
    struct zone *z = pmm_find_block(frame >> BLOCK_SHIFT, &b);
    if (z == NULL || !zone_has_frame(z, frame))
        return MM_NOTFOUND;
    if (at < pmm.nbad && pmm.bad[at].frame == frame)
        return MM_EXISTS;
    ASSERT(block_own_any(z, b, BOOT_OWNER));
    __atomic_fetch_or(&z->entries[b], ENTRY_RAGGED, __ATOMIC_SEQ_CST); /* others may look */
    bool in_use = block_is_used(z, b, frame % BLOCK_FRAMES, 1);
    if (!in_use)
        block_take(z, b, frame % BLOCK_FRAMES, 1);
    block_settle(z, b, BOOT_OWNER);
    memmove(&pmm.bad[at + 1], &pmm.bad[at], (pmm.nbad - at) * sizeof *pmm.bad);
    pmm.bad[at] = (struct bad_frame){frame, in_use};
    pmm.nbad++;
    return MM_OK;
}

/* Double the list, which had room for so many, unless somebody else was faster. */
static mm_status_t grow_bad(size_t old)
{
    static const struct pmm_limits stays = {.kind = PMM_LONG};
    size_t capacity = old == 0 ? FRAME_BYTES / sizeof *pmm.bad : 2 * old;
    uint64_t nframes = bytes_to_frames(capacity * sizeof *pmm.bad);
    paddr_t frames, before = PA(0);
    mm_status_t status = pmm_alloc_frames(nframes, &stays, &frames);
    if (status != MM_OK)
        return status;
    irq_state_t irq = pmm_stop_others();
    if (pmm.bad_capacity == old) {
        struct bad_frame *list = phys_to_virt(frames);
        if (old != 0) {
            memcpy(list, pmm.bad, pmm.nbad * sizeof *list);
            before = virt_to_phys(pmm.bad);
        }
        pmm.bad = list;
        pmm.bad_capacity = capacity;
        frames = before;
        nframes = bytes_to_frames(old * sizeof *list);
    }
    pmm_resume_others(irq);
    if (nframes != 0)
        pmm_free_frames(frames, nframes);
    return MM_OK;
}

mm_status_t pmm_retire_frame(paddr_t frame)
{
    mm_status_t status = MM_OK;
    if (!pa_aligned(frame, FRAME_BYTES))
        return MM_INVAL;
    while (status == MM_OK) {
        irq_state_t irq = pmm_stop_others();
        size_t capacity = pmm.bad_capacity;
        bool room = pmm.nbad < capacity;
        if (room)
            status = retire(frame_number(frame));
        pmm_resume_others(irq);
        if (room)
            return status;
        status = grow_bad(capacity);
    }
    return status;
}

/* --- Added memory ------------------------------------------------------------------ */

/* True if a block of the range is known already: no block may be in two zones. */
static bool is_known(uint64_t frame, uint64_t n)
{
    uint64_t b, end = (frame + n - 1) >> BLOCK_SHIFT;
    for (uint64_t number = frame >> BLOCK_SHIFT; number <= end; number++)
        if (pmm_find_block(number, &b) != NULL)
            return true;
    return false;
}

static mm_status_t add_zone(const struct mem_region *region)
{
    uint64_t base, nframes = bytes_to_frames(zone_metadata_bytes(region, 1));
    if (is_known(frame_number(region->base), region->bytes >> FRAME_SHIFT))
        return MM_EXISTS;
    if (pmm.nzones == CONFIG_PMM_ZONES_MAX || region->bytes >> FRAME_SHIFT <= nframes)
        return MM_NOMEM;
    mm_status_t status = place(region, 1, nframes, &base);
    if (status != MM_OK)
        return status;
    zone_init(&pmm.zones[pmm.nzones], region, 1, base, nframes);
    __atomic_store_n(&pmm.nzones, pmm.nzones + 1, __ATOMIC_RELEASE);
    return MM_OK;
}

mm_status_t pmm_add_range(paddr_t base, uint64_t nframes)
{
    struct mem_region region = {base, nframes << FRAME_SHIFT, MEM_USABLE};
    if (nframes == 0 || !pa_aligned(base, FRAME_BYTES))
        return MM_INVAL;
    if (!range_fits(frame_number(base), nframes, PADDR_LIMIT >> FRAME_SHIFT) ||
        pa_lt(PA(hhdm.bytes), pa_add(base, region.bytes)))
        return MM_RANGE;
    irq_state_t irq = pmm_stop_others();
    mm_status_t status = add_zone(&region);
    pmm_resume_others(irq);
    return status;
}

/* --- Nodes --------------------------------------------------------------------------- */

mm_status_t pmm_set_nodes(const struct mem_node *nodes, size_t n)
{
    static const struct pmm_limits stays = {.kind = PMM_LONG};
    uint64_t nframes = bytes_to_frames(NUMA_PIECES(n) * sizeof(struct node_piece));
    paddr_t table;
    size_t npieces = 0;
    mm_status_t status = pmm_alloc_frames(nframes, &stays, &table);
    if (status != MM_OK)
        return status;
    status = numa_divide(nodes, n, phys_to_virt(table), &npieces);
    irq_state_t irq = pmm_stop_others();
    if (status == MM_OK && pmm.node_table.base != pmm.node_table.end)
        status = MM_EXISTS;
    if (status == MM_OK) {
        uint64_t base = frame_number(table);
        pmm.node_table = (struct span){base, base + nframes, SPAN_RESERVED};
        pmm.pieces = phys_to_virt(table);
        pmm.npieces = npieces;
    }
    pmm_resume_others(irq);
    if (status != MM_OK)
        pmm_free_frames(table, nframes);
    return status;
}

uint32_t pmm_node_of(paddr_t pa)
{
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_enter(); /* the pieces stay while we are inside */
    uint32_t node = pmm.pieces[numa_find(pmm.pieces, pmm.npieces, pa)].node;
    cache_leave(c);
    irq_restore(irq);
    return node;
}
