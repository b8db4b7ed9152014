/* Owns: the simulated physical memory, and what mm/ says: log, misuse, panic.
 * Relies on: mmap; on the linker's --wrap for the failing of allocations, so that mm/ needs no
 * hook. */
#include "machine.h"

#include <pthread.h>
#include <sys/mman.h>

#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "test.h"
#include "../../host/ranges.h"

struct machine machine;

static struct {
    void *reservation;
    size_t bytes;
    unsigned countdown; /* allocations until the one that fails; 0: none */
    bool all;           /* and those behind it */
    bool failed;
} arena;

void machine_start(const struct mem_region *map, size_t n)
{
    uint64_t limit = 0;
    for (size_t i = 0; i < n; i++)
        if (map[i].type != MEM_RESERVED && map[i].base.v + map[i].bytes > limit)
            limit = map[i].base.v + map[i].bytes;

    /* 1 GiB more, so that the base can be aligned for the largest pages and is never 0. */
    arena.bytes = limit + 2 * GIB;
    arena.reservation =
        mmap(NULL, arena.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(arena.reservation != MAP_FAILED);
    uint64_t base = ((uint64_t)arena.reservation + GIB) & ~(GIB - 1);
    for (size_t i = 0; i < n; i++) {
        enum mem_type type = map[i].type;
        if (type == MEM_USABLE || type == MEM_BOOTLOADER_RECLAIMABLE)
            assert_int_equal(
                0, mprotect((void *)(base + map[i].base.v), map[i].bytes, PROT_READ | PROT_WRITE));
    }

    machine = (struct machine){
        .cpu = {.nx = true, .page_1g = true, .global = true, .phys_bits = 46, .levels = 4},
    };
    arena.countdown = 0;
    arena.failed = false;
    cpus_reset();
    hhdm_init(VA(base), limit);
}

void machine_start_simple(uint64_t bytes)
{
    const struct mem_region map[] = {{PA(RAM_BASE), bytes, MEM_USABLE}};
    machine_start(map, 1);
    assert_int_equal(MM_OK, pmm_init(map, 1));
}

void machine_stop(void)
{
    ranges_forget();
    munmap(arena.reservation, arena.bytes);
    if (machine.misuses != 0)
        fail_msg("misuse that nobody expected: %s", machine.message);
}

uint64_t machine_free_frames(void)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    return stats.free_kib * 1024 / FRAME_BYTES;
}

void assert_message(const char *words)
{
    if (strstr(machine.message, words) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", words, machine.message);
}

void assert_misuse(const char *words)
{
    assert_int_equal(1, machine.misuses);
    machine.misuses = 0;
    assert_message(words);
}

/* --- Failing allocations -------------------------------------------------- */

void machine_fail_allocation(unsigned k)
{
    arena.countdown = k;
    arena.all = arena.failed = false;
}

void machine_fail_allocations_from(unsigned k)
{
    machine_fail_allocation(k);
    arena.all = true;
}

bool machine_failed(void)
{
    bool failed = arena.failed;
    machine_fail_allocation(0);
    return failed;
}

static bool fails_now(void)
{
    if (arena.countdown == 0 || --arena.countdown > 0)
        return false;
    arena.failed = true;
    arena.countdown = arena.all;
    return true;
}

/* What the linker makes of the calls from one file to another, and of the functions themselves. */
#define WRAPPED(name, parameters, arguments)                     \
    mm_status_t __real_##name parameters;                        \
    mm_status_t __wrap_##name parameters;                        \
    mm_status_t __wrap_##name parameters                         \
    {                                                            \
        return fails_now() ? MM_NOMEM : __real_##name arguments; \
    }

WRAPPED(pmm_alloc_frame, (paddr_t * out), (out))
WRAPPED(pmm_alloc_frames, (uint64_t n, const struct pmm_limits *limits, paddr_t *out),
        (n, limits, out))
WRAPPED(pmm_alloc_order, (unsigned order, const struct pmm_limits *limits, paddr_t *out),
        (order, limits, out))
WRAPPED(pmm_alloc_batch, (size_t n, const struct pmm_limits *limits, paddr_t *out),
        (n, limits, out))

/* Ranges of the heap: frames of Linux. */
void *__real_ranges_alloc(const char *name, uint64_t npages, uint64_t align_pages);
void *__wrap_ranges_alloc(const char *name, uint64_t npages, uint64_t align_pages);
void *__wrap_ranges_alloc(const char *name, uint64_t npages, uint64_t align_pages)
{
    return fails_now() ? NULL : __real_ranges_alloc(name, npages, align_pages);
}
void *__real_ranges_resize(void *base, uint64_t npages, uint64_t new_npages);
void *__wrap_ranges_resize(void *base, uint64_t npages, uint64_t new_npages);
void *__wrap_ranges_resize(void *base, uint64_t npages, uint64_t new_npages)
{
    return fails_now() ? NULL : __real_ranges_resize(base, npages, new_npages);
}

/* --- The port ------------------------------------------------------------- */

/* The last message of several CPUs is that of any of them. */
static void record(unsigned *count, const char *fmt, va_list args)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    vsnprintf(machine.message, sizeof machine.message, fmt, args);
    if (count != NULL)
        ++*count;
    pthread_mutex_unlock(&mutex);
}

const struct port_cpu *port_cpu(void)
{
    return &machine.cpu;
}

void port_log(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    record(&machine.logs, fmt, args);
    va_end(args);
}

void port_misuse(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    record(&machine.misuses, fmt, args);
    va_end(args);
}

void port_format(char *out, size_t bytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(out, bytes, fmt, args);
    va_end(args);
}

_Noreturn void port_panic(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    record(NULL, fmt, args);
    va_end(args);
    if (machine.panic_expected != NULL)
        longjmp(*machine.panic_expected, 1);
    fprintf(stderr, "panic: %s\n", machine.message);
    abort();
}
