/* Owns: the shadow's memory and its contents.
 * Relies on: the pmm for frames, the pager to map them, the memory map. Is not checked itself.
 * Stage: kasan_map at "frames"; on from kasan_start on.
 *
 * RAM is watched by chunks of 16 MiB, of which the shadow is a large page; the image, and kernel
 * ranges for which that is asked, by pieces of 32 KiB. */
#include "shadow.h"

#include "boot/memory.h"
#include "config.h"
#include "console/print.h"
#include "cpu/cpus.h"
#include "layout.h"
#include "mm/hhdm.h"
#include "mm/string.h"
#include "panic/panic.h"

#define PROT_SHADOW (PROT_READ | PROT_WRITE | PROT_GLOBAL)
#define SLOT_BYTES  (1ull << 39) /* to an entry of a PML4 */
#define VALID       0

/* Of an entry of a page table. source: Intel SDM Vol. 3A "4-Level Paging" */
#define ENTRY_PRESENT 0x01u
#define ENTRY_LARGE   0x80u

struct kasan kasan;

/* What the compiler adds to an eighth of a stack's address, without a sign. entry.S sets it so that
 * the first stack's shadow is early_shadow, until there is a real one. */
uint64_t __asan_shadow_memory_dynamic_address;
#define OFFSET (7ull << 61) /* the sign */
uint8_t kasan_early_shadow[LAYOUT_BOOT_STACKS_BYTES / GRAIN_BYTES];

/* --- Making it ----------------------------------------------------------------------- */

static const struct pmm_limits stays = {.kind = PMM_LONG, .zeroed = true};

static mm_status_t map_shadow(uint64_t address, paddr_t frames, uint64_t npages)
{
    return paging_map(&vmm_kernel()->space, VA(shadow_number(address)), frames, npages, PROT_SHADOW,
                      CACHE_WB);
}

/* Give a piece a shadow of its own. errors: MM_NOMEM, MM_EXISTS (it has one) */
static mm_status_t map_piece(uint64_t address)
{
    paddr_t frame;
    mm_status_t status = pmm_alloc_frames(1, &stays, &frame);
    if (status != MM_OK)
        return status;
    status = map_shadow(address, frame, 1);
    if (status != MM_OK)
        pmm_free_frame(frame);
    return status;
}

static void map_pieces(uint64_t base, uint64_t bytes, uint64_t step)
{
    for (uint64_t at = base; at - base < bytes; at += step) {
        mm_status_t status = map_piece(at);
        if (status != MM_OK)
            panic("kasan: no shadow for 0x%lx: %s", at, mm_status_name(status));
    }
}

/* errors: MM_NOMEM, MM_EXISTS (it has one) */
static mm_status_t map_chunk(uint64_t address)
{
    paddr_t block;
    mm_status_t status = pmm_alloc_order(PMM_ORDER_BLOCK, &stays, &block);
    if (status != MM_OK)
        return status;
    status = map_shadow(address, block, HUGE_2M / PAGE_BYTES);
    if (status != MM_OK) {
        pmm_free_order(block, PMM_ORDER_BLOCK);
        return status;
    }
    uint64_t at = address - kasan.ram;
    if (at / CHUNK_BYTES < CHUNKS_MAX)
        kasan.chunks[at / CHUNK_BYTES] = 1;
    if (kasan.watched_bytes < at + CHUNK_BYTES)
        kasan.watched_bytes = at + CHUNK_BYTES;
    kasan.nchunks++;
    return MM_OK;
}

/* All of a region. False if it cannot be, or is too much. */
static bool map_region(const struct mem_region *r)
{
    uint64_t base = va_number(hhdm_address(r->base)), end = base + r->bytes;
    for (uint64_t at = base & -CHUNK_BYTES; at < end; at += CHUNK_BYTES)
        if (kasan.nchunks >= CONFIG_KASAN_RAM_BYTES / CHUNK_BYTES || map_chunk(at) == MM_NOMEM)
            return false;
    return true;
}

/* The lowest part of RAM. False if that is not all. */
static bool map_ram(void)
{
    size_t n;
    const struct mem_region *map = memory_map(&n);
    for (size_t i = 0; i < n; i++)
        if (mem_type_is_ram(map[i].type) && !map_region(&map[i]))
            return false;
    return true;
}

static bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
    return a < b + b_bytes && b < a + a_bytes;
}

/* By chance, where addresses are random. */
static void check_place(void)
{
    uint64_t image = shadow_number(kasan.image), image_bytes = kasan.image_bytes / GRAIN_BYTES;
    uint64_t ram = shadow_number(kasan.ram), ram_bytes = kasan.ram_bytes / GRAIN_BYTES;
    if (overlap(kasan.image, kasan.image_bytes, image, image_bytes) ||
        overlap(VMM_WINDOW_BASE, VMM_DEVICE_END - VMM_WINDOW_BASE, ram, ram_bytes))
        panic("kasan: the shadow's place is taken: boot again, or with kaslr=off");
}

void kasan_map(void)
{
    uint64_t start = va_number(layout_image_start());
    kasan.ram = va_number(va_align_down(hhdm.base, CHUNK_BYTES));
    kasan.ram_bytes = va_number(hhdm.base) - kasan.ram + hhdm.bytes;
    kasan.image = start & -PIECE_BYTES;
    kasan.image_bytes =
        (start - kasan.image + layout_image_bytes() + PIECE_BYTES - 1) & -PIECE_BYTES;
    check_place();

    map_pieces(kasan.image, kasan.image_bytes, PIECE_BYTES);
    /* The root's entries for what comes later must be there before it is sealed. */
    map_pieces(VMM_WINDOW_BASE, VMM_WINDOW_END - VMM_WINDOW_BASE, SLOT_BYTES * GRAIN_BYTES);
    kasan.all = map_ram();
    uint64_t most = CHUNKS_MAX * CHUNK_BYTES;
    kasan.table_bytes = kasan.watched_bytes < most ? kasan.watched_bytes : most;
}

mm_status_t kasan_watch(vaddr_t va, uint64_t npages)
{
    uint64_t base = va_number(va), end = base + npages * PAGE_BYTES;
    for (uint64_t at = base & -PIECE_BYTES; kasan.on && at < end; at += PIECE_BYTES) {
        mm_status_t status = shadow_of(at) ? MM_EXISTS : map_piece(at);
        if (status != MM_OK && status != MM_EXISTS)
            return status;
    }
    kasan_allow((const void *)(uintptr_t)base, end - base); /* only a number here */
    return MM_OK;
}

bool kasan_owns(vaddr_t va)
{
    uint64_t at = va_number(va), image = shadow_number(kasan.image);
    uint64_t ram = shadow_number(kasan.ram), window = shadow_number(VMM_WINDOW_BASE);
    return kasan.image && (at - image < kasan.image_bytes / GRAIN_BYTES ||
                           at - ram < kasan.ram_bytes / GRAIN_BYTES + HUGE_2M ||
                           at - window < shadow_number(VMM_WINDOW_END) - window);
}

/* As the CPU does it. What we have mapped stays, so nobody needs to be waited for. */
int8_t *shadow_look(uint64_t address)
{
    const struct space *space = &vmm_kernel()->space;
    uint64_t at = shadow_number(address);
    paddr_t table = space->root;
    for (unsigned level = space->levels; level > 0; level--) {
        const uint64_t *entries = (const void *)va_number(hhdm_address(table));
        uint64_t e = __atomic_load_n(&entries[at >> (3 + 9 * level) & 511], __ATOMIC_RELAXED);
        if (!(e & ENTRY_PRESENT))
            return NULL;
        if (level == 2 && (e & ENTRY_LARGE))
            break;
        table = PA(e & (PADDR_LIMIT - FRAME_BYTES));
    }
    uint64_t piece = address / PIECE_BYTES;
    __atomic_store_n(&kasan.seen[piece % SEEN_PIECES], piece, __ATOMIC_RELAXED);
    return shadow_pointer(address);
}

bool kasan_has_all(void)
{
    return kasan.all;
}

uint64_t kasan_ram_kib(void)
{
    return kasan.nchunks * (CHUNK_BYTES >> 10);
}

/* --- What it says ------------------------------------------------------------------------ */

/* How many of bytes from address on are as their first one: of RAM in the same chunk, or where none is
 * watched; else in the same piece. */
static uint64_t bytes_alike(uint64_t address, uint64_t bytes)
{
    uint64_t at = address - kasan.ram, alike = PIECE_BYTES - address % PIECE_BYTES;
    if (at < kasan.watched_bytes)
        alike = CHUNK_BYTES - at % CHUNK_BYTES;
    else if (at < kasan.ram_bytes)
        alike = kasan.ram_bytes - at;
    return alike < bytes ? alike : bytes;
}

/* Set the shadow of whole grains. */
static void fill(uint64_t address, uint64_t bytes, int value)
{
    while (bytes > 0) {
        int8_t *s = shadow_of(address);
        uint64_t some = bytes_alike(address, bytes);
        if (s)
            memset(s, value, (some + GRAIN_BYTES - 1) / GRAIN_BYTES);
        address += some;
        bytes -= some;
    }
}

void kasan_allow(const void *p, size_t bytes)
{
    uint64_t address = va_number(va_of(p)), whole = bytes & -GRAIN_BYTES;
    if (!kasan.on)
        return;
    fill(address, whole, VALID);
    if (whole < bytes)
        fill(address + whole, GRAIN_BYTES, (int)(bytes - whole));
}

void kasan_forbid(const void *p, size_t bytes, enum kasan_why why)
{
    if (kasan.on)
        fill(va_number(va_of(p)), bytes, (int)why);
}

void kasan_allow_frames(paddr_t base, uint64_t nframes)
{
    if (kasan.on)
        fill(va_number(hhdm_address(base)), nframes * FRAME_BYTES, VALID);
}

void kasan_forbid_frames(paddr_t base, uint64_t nframes)
{
    if (kasan.on)
        fill(va_number(hhdm_address(base)), nframes * FRAME_BYTES, KASAN_FRAME_FREE);
}

static bool forbid_free(paddr_t base, uint64_t nframes, void *argument)
{
    (void)argument;
    kasan_forbid_frames(base, nframes);
    return true;
}

/* What the compiler has a list of is known to no list of ours: each file's part is a function. */
extern void (*const kasan_constructors[])(void);
extern void (*const kasan_constructors_end[])(void);

static void construct(void)
{
    for (void (*const *f)(void) = kasan_constructors; f < kasan_constructors_end; f++)
        (*f)();
}

static uint64_t sought; /* 0: globals are registered, not looked for */
static const struct global *found;

void __asan_register_globals(const struct global *globals, uint64_t n);
void __asan_register_globals(const struct global *globals, uint64_t n)
{
    for (const struct global *g = globals; g < globals + n; g++) {
        if (sought && sought - g->address < g->bytes_with_zone)
            found = g;
        if (sought)
            continue;
        const void *p = (const void *)(uintptr_t)g->address; /* as the linker has put it */
        kasan_alloc(p, g->bytes, g->bytes);
        kasan_forbid((const char *)p + (g->bytes + GRAIN_BYTES - 1) / GRAIN_BYTES * GRAIN_BYTES,
                     g->bytes_with_zone - (g->bytes + GRAIN_BYTES - 1) / GRAIN_BYTES * GRAIN_BYTES,
                     KASAN_GLOBAL);
    }
}

void __asan_unregister_globals(const struct global *globals, uint64_t n);
void __asan_unregister_globals(const struct global *globals, uint64_t n)
{
    (void)globals, (void)n;
}

const struct global *kasan_global(uint64_t address)
{
    sought = address;
    found = NULL;
    construct();
    sought = 0;
    return found;
}

void kasan_start(void)
{
    kasan.on = true;
    pmm_walk_free(forbid_free, NULL);
    construct();
    __asan_shadow_memory_dynamic_address = OFFSET;
    kprintf("kasan: %lu KiB of RAM and the image are watched\n", kasan_ram_kib());
}

void kasan_stop(void)
{
    kasan.on = false;
}

/* All that lies below on this stack. */
void kasan_stack_left(void)
{
    const struct cpu_stacks *stacks = cpu_current()->stacks;
    uint64_t frame = (uint64_t)(uintptr_t)__builtin_frame_address(0) & -GRAIN_BYTES;
    for (unsigned i = 0; stacks && i < STACKS; i++) {
        uint64_t base = va_number(stacks->stack[i].base);
        if (frame - base < stacks->stack[i].bytes)
            kasan_allow((const void *)(uintptr_t)base, frame - base);
    }
}

/* --- Asking it ----------------------------------------------------------------------------- */

/* Most of what is long is valid: so many grains are at the start of it, in eights. */
static uint64_t valid_grains(const int8_t *s, uint64_t grains)
{
    uint64_t n = 0;
    if ((uintptr_t)s % 8 == 0)
        while (n + 8 <= grains && *(const uint64_t *)(const void *)(s + n) == 0)
            n += 8;
    return n;
}

/* The first bad byte of a range in one piece that is watched. */
static bool find_in_piece(const int8_t *s, uint64_t address, uint64_t bytes, uint64_t *bad)
{
    uint64_t end = address + bytes, grain = address & -GRAIN_BYTES;
    for (; grain < end; grain += GRAIN_BYTES, s++) {
        uint64_t n = valid_grains(s, (end - grain) / GRAIN_BYTES);
        grain += n * GRAIN_BYTES;
        s += n;
        if (grain >= end)
            break;
        if (*s == VALID)
            continue;
        uint64_t valid_end = grain + (*s > 0 ? (uint64_t)*s : 0);
        if (valid_end < (end < grain + GRAIN_BYTES ? end : grain + GRAIN_BYTES)) {
            *bad = valid_end > address ? valid_end : address;
            return true;
        }
    }
    return false;
}

bool shadow_find_bad(uint64_t address, uint64_t bytes, uint64_t *bad)
{
    while (bytes > 0) {
        const int8_t *s = shadow_of(address);
        uint64_t some = bytes_alike(address, bytes);
        if (s && find_in_piece(s, address, some, bad))
            return true;
        address += some;
        bytes -= some;
    }
    return false;
}

size_t kasan_valid(const void *p, size_t bytes)
{
    vaddr_t bad;
    return kasan_find(p, bytes, &bad) ? va_diff(va_of(p), bad) : bytes;
}

bool kasan_find(const void *p, size_t bytes, vaddr_t *bad)
{
    uint64_t address;
    if (!kasan.on || !shadow_find_bad(va_number(va_of(p)), bytes, &address))
        return false;
    *bad = VA(address);
    return true;
}
