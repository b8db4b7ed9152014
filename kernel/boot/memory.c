/* Owns: the order in which memory is taken over, and the normalised memory map.
 * Relies on: the boot context, layout.c, all of mm/.
 * Stage: "early" (memory_open_early), then "take over", once, on the boot CPU.
 *
 * Promises, in this order: early memory; a map that can be trusted; the direct map's window;
 * frames; our own tables, in use and audited; virtual memory, the screen in it; all CPUs; the
 * loader's memory; the heap. */
#include "boot/memory.h"

#include "boot/context.h"
#include "config.h"
#include "console/console.h"
#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "kasan/kasan.h"
#include "layout.h"
#include "mm/early.h"
#include "mm/heap.h"
#include "mm/hhdm.h"
#include "mm/mapper.h"
#include "mm/pmm.h"
#include "mm/vmm.h"
#include "panic/panic.h"

/* Regions that we add to the loader's: our image, the framebuffer. */
#define CLAIMS_MAX 2

/* A region up to this size is mapped whole when something in it is wanted: tables lie together. */
#define REACH_WHOLE_REGION (2ull << 20)

static uint8_t early_arena[CONFIG_EARLY_BYTES] __attribute__((aligned(PAGE_BYTES)));
static struct mem_region *map;
static size_t nmap;
static paddr_t loader_root;
static uint64_t frames_ticks;

void memory_open_early(void)
{
    early_init(early_arena, sizeof early_arena);
}

const void *memory_of_loader(uint64_t address)
{
    return (const void *)(uintptr_t)address; /* the loader's tables are in use */
}

static void must(mm_status_t status, const char *what)
{
    if (status != MM_OK)
        panic("cannot take the memory over: %s: %s", what, mm_status_name(status));
}

static bool is_given_away(enum mem_type type)
{
    return type == MEM_USABLE || type == MEM_BOOTLOADER_RECLAIMABLE;
}

/* If the loader's map would let us give [base, base + bytes) away, add a region that keeps it. */
static void claim(const char *name, enum mem_type type, paddr_t base, uint64_t bytes)
{
    paddr_t end = pa_end(base, bytes);
    for (size_t i = 0; i < nmap; i++) {
        if (!is_given_away(map[i].type) || !pa_lt(map[i].base, end) ||
            !pa_lt(base, pa_end(map[i].base, map[i].bytes)))
            continue;
        kprintf("memory map: the %s at 0x%lx is called %s: it is kept\n", name, pa_number(base),
                mem_type_name(map[i].type));
        map[nmap++] = (struct mem_region){base, bytes, type};
        return;
    }
}

/* The boot context's map, without the memory that this CPU cannot address. (Reserved ranges may be
 * anywhere: they are never mapped.) */
static void copy_map(void)
{
    const struct boot_context *boot = boot_context();
    paddr_t limit = PA(1ull << port_cpu()->phys_bits);
    for (size_t i = 0; i < boot->nmemory; i++) {
        struct mem_region r = boot->memory[i];
        if (r.type != MEM_RESERVED && pa_lt(limit, pa_end(r.base, r.bytes))) {
            kprintf("memory map: %s at 0x%lx, 0x%lx bytes, is cut at the %u address bits of this "
                    "CPU\n",
                    mem_type_name(r.type), pa_number(r.base), r.bytes, port_cpu()->phys_bits);
            r.bytes = pa_diff(pa_min(r.base, limit), limit);
        }
        map[nmap++] = r;
    }
}

static void normalise_map(void)
{
    const struct boot_context *boot = boot_context();
    size_t capacity = 2 * (boot->nmemory + CLAIMS_MAX);
    map = early_alloc(capacity * sizeof *map, _Alignof(struct mem_region));
    copy_map();
    claim("kernel image", MEM_EXECUTABLE_AND_MODULES, boot->image_pa, layout_image_bytes());
    if (boot->have_framebuffer)
        claim("framebuffer", MEM_FRAMEBUFFER, boot->framebuffer.base,
              boot->framebuffer.pitch * boot->framebuffer.height);

    size_t fixed;
    must(region_normalise(map, nmap, capacity, &nmap, &fixed), "memory map");
    if (fixed > 0)
        kprintf("memory map: %zu corrections\n", fixed);
}

/* The direct map reaches to the end of the last region that is shown in it. */
static void open_direct_map(void)
{
    vaddr_t base = boot_context()->hhdm_base;
    paddr_t end = PA(0);
    for (size_t i = 0; i < nmap; i++)
        if (mem_type_is_ram(map[i].type))
            end = pa_align_up(pa_end(map[i].base, map[i].bytes), FRAME_BYTES);
    if (pa_diff(PA(0), end) > va_diff(base, VA(VMM_WINDOW_BASE)))
        panic("memory ends at 0x%lx: no room for it above the direct map's base 0x%lx",
              pa_number(end), va_number(base));
    hhdm_init(base, pa_diff(PA(0), end));
}

static void build_tables(void)
{
    struct mapper_input input;
    layout_describe(&input);
    input.map = map;
    input.nmap = nmap;
    must(mapper_build(&input, &vmm_kernel()->space), "page tables");
}

/* The loader's mapping of the screen goes with its tables; the console waits for ours. */
static void switch_tables(void)
{
    console_move(NULL);
    mapper_switch(&vmm_kernel()->space);
    must(vmm_init(), "virtual memory");
}

static void map_screen(void)
{
    const struct boot_framebuffer *framebuffer = &boot_context()->framebuffer;
    vaddr_t pixels;
    if (!boot_context()->have_framebuffer)
        return;
    mm_status_t status =
        vmm_map_device("framebuffer", framebuffer->base, framebuffer->pitch * framebuffer->height,
                       CACHE_WC, &pixels);
    if (status == MM_OK)
        console_move((void *)va_number(pixels)); /* just mapped */
    else
        kprintf("framebuffer at 0x%lx: %s: the screen stays as it is\n",
                pa_number(framebuffer->base), mm_status_name(status));
}

static void audit_tables(void)
{
    struct mapper_audit audit;
    if (!mapper_audit(&vmm_kernel()->space, &audit))
        panic(
            "page table audit: %lu writable and executable, %lu for user mode, %lu outside of any "
            "range, %lu not as listed; the first at 0x%lx",
            audit.writable_executable, audit.user_accessible, audit.outside_ranges,
            audit.mismatched, va_number(audit.first_bad));
}

static void open_frames(void)
{
    uint64_t before = cpu_tsc();
    must(pmm_init(map, nmap), "frames");
    frames_ticks = cpu_tsc() - before;
}

void memory_take_over(void)
{
    loader_root = port_get_root();
    normalise_map();
    open_direct_map();
    (void)early_close();

    open_frames();
    build_tables();
    kasan_map();
    switch_tables();
    kasan_start();
    map_screen();
    audit_tables();
    if (cpus_adopt())
        (void)pmm_reclaim();
    else
        kprintf("memory: what the loader used is kept: CPUs may be waiting there\n");
    must(heap_init(), "heap");
}

const struct mem_region *memory_map(size_t *n)
{
    *n = nmap;
    return map;
}

uint64_t memory_frames_nsec(void)
{
    return frames_ticks * 1000000 / cpu_tsc_ticks(1000);
}

paddr_t memory_loader_root(void)
{
    return loader_root;
}

/* The pointer to pa in a mapping of [base, base + all) at va; NULL if it does not have all of
 * [pa, pa + bytes). */
static const void *reach_in(vaddr_t va, paddr_t base, uint64_t all, paddr_t pa, uint64_t bytes)
{
    if (pa_lt(pa, base) || !range_fits(pa_diff(base, pa), bytes, all))
        return NULL;
    return (const void *)va_number(va_add(va, pa_diff(base, pa))); /* the caller knows: mapped */
}

/* Where [pa, pa + bytes) is mapped already: at boot, or by an earlier call. */
static const void *reach_mapped(paddr_t pa, uint64_t bytes)
{
    const void *found = NULL;
    for (struct map_range r = {0}; !found && mapper_next_range(&r);)
        found = r.prot ? reach_in(r.va, r.pa, r.npages * PAGE_BYTES, pa, bytes) : NULL;
    struct mapping m;
    for (vaddr_t at = VA(VMM_DEVICE_BASE); !found &&
                                           paging_next(&vmm_kernel()->space, &at, &m) == MM_OK &&
                                           va_lt(m.va, VA(VMM_DEVICE_END));)
        found = m.cache == CACHE_WB ? reach_in(m.va, m.pa, m.bytes, pa, bytes) : NULL;
    return found;
}

const void *memory_reach(const char *name, paddr_t pa, uint64_t bytes)
{
    const void *mapped = reach_mapped(pa, bytes);
    if (mapped)
        return mapped;

    paddr_t base = pa;
    uint64_t length = bytes;
    for (size_t i = 0; i < nmap; i++)
        if (map[i].bytes <= REACH_WHOLE_REGION && !pa_lt(pa, map[i].base) &&
            range_fits(pa_diff(map[i].base, pa), bytes, map[i].bytes)) {
            base = map[i].base;
            length = map[i].bytes;
        }
    vaddr_t va;
    mm_status_t status = vmm_map_device(name, base, length, CACHE_WB, &va);
    if (status != MM_OK) {
        kprintf("%s at 0x%lx cannot be mapped: %s\n", name, pa_number(pa), mm_status_name(status));
        return NULL;
    }
    return (const void *)va_number(va_add(va, pa_diff(base, pa))); /* just mapped */
}
