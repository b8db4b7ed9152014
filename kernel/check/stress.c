/* Owns: the stress tests' list and their results.
 * Relies on: crew.c for the CPUs, all of mm/. Stage: after cpus_start. */
#include "check/stress.h"

#include "check/stress_parts.h"
#include "console/print.h"
#include "console/style.h"
#include "cpu/cpus.h"
#include "cpu/traps.h"
#include "lock.h"
#include "mm/heap_stats.h"
#include "mm/mapper.h"
#include "mm/pmm.h"
#include "mm/vmm.h"
#include "tuning.h"

#define COMPLAINTS_MAX 4 /* that are said in words for each test */
#define PART_BYTES     (1ull << 30)

struct stress stress;
static struct stress_result total;

vaddr_t stress_page(unsigned number, uint64_t page)
{
    return va_add(STRESS_VA, number * PART_BYTES + page * PAGE_BYTES);
}

bool stress_check(bool holds, const char *file, int line)
{
    if (holds)
        return true;
    if (__atomic_fetch_add(&stress.counts.wrong, 1, __ATOMIC_RELAXED) < COMPLAINTS_MAX)
        kprintf("stress: " STYLE_BAD "CPU %u: wrong at %s:%d" STYLE_PLAIN "\n", cpu_current()->id,
                file, line);
    return false;
}

/* ---- accesses that may fault ------------------------------------------------------------- */

struct access {
    volatile uint64_t *at;
    uint64_t value;
};

static void read_word(void *argument)
{
    struct access *access = argument;
    access->value = *access->at;
}

static void write_word(void *argument)
{
    struct access *access = argument;
    *access->at = access->value;
}

static bool survives(void (*function)(void *), struct access *access, uint64_t error)
{
    struct trap_frame frame;
    if (traps_try(function, access, &frame))
        return true;
    STRESS_CHECK(frame.vector == TRAP_PAGE_FAULT && frame.error == error);
    return false;
}

bool stress_read(vaddr_t va, uint64_t *value, uint64_t error)
{
    struct access access = {(volatile uint64_t *)va_number(va), 0}; /* mapped, or it faults */
    bool survived = survives(read_word, &access, error);
    *value = access.value;
    return survived;
}

bool stress_write(vaddr_t va, uint64_t value, uint64_t error)
{
    struct access access = {(volatile uint64_t *)va_number(va), value}; /* the same */
    return survives(write_word, &access, error);
}

bool stress_map_page(vaddr_t va, paddr_t *frame)
{
    return STRESS_CHECK(pmm_alloc_frame(frame) == MM_OK) &&
           STRESS_CHECK(paging_map(mapper_kernel_space(), va, *frame, 1, PROT_READ | PROT_WRITE,
                                   CACHE_WB) == MM_OK);
}

void stress_unmap_page(vaddr_t va, paddr_t frame)
{
    STRESS_CHECK(paging_unmap(mapper_kernel_space(), va, 1) == MM_OK);
    STRESS_CHECK(pmm_free_frame(frame) == MM_OK);
}

/* ---- the tests -------------------------------------------------------------------------- */

static const struct stress_test tests[] = {
    {"unmapped pages fault on other CPUs", "accesses", stress_unmap},
    {"changed protections hold on all CPUs", "accesses", stress_protect},
    {"kernel ranges come and go on all CPUs", "ranges", stress_ranges},
    {"all CPUs touch the same pages first", "touches", stress_touch},
    {"frames, heap and mappings keep contents", "operations", stress_mixed},
    {"objects are freed by other CPUs", "objects", stress_heap},
    {"memory in the middle of anything", "turns", stress_interrupts},
    {"calls on all CPUs at once", "calls", stress_storm},
    {"barriers wait for what they interrupt", "barriers", stress_barrier},
    {"flush with a CPU that is long deaf", "flushes", stress_deaf},
    {"ring 3 in one space, and in copies of it", "threads", stress_user},
};

/* What is in use, exact while nothing else runs. What the heap takes for its objects, or keeps, goes
 * with it, and counts as free; so does what says which frames are shared. */
struct usage {
    uint64_t frames, heap_bytes, objects;
};

static struct usage usage(void)
{
    struct pmm_stats frames;
    struct heap_totals heap;

    (void)heap_shrink();
    pmm_get_stats(&frames);
    heap_get_totals(&heap);
    uint64_t kib = (heap.all.slab_bytes + heap.reserve_bytes + heap.descriptor_bytes) >> 10;
    return (struct usage){frames.used_kib / 4 - kib / 4 - vmm_share_frames(), heap.all.live_bytes,
                          heap.all.live};
}

/* True if everything that can be checked from inside agrees. */
static bool all_is_valid(void)
{
    struct mapper_audit boot;
    struct vmm_audit all;
    struct space *space = mapper_kernel_space();
    bool good = false;
    return STRESS_CHECK(pmm_validate()) && STRESS_CHECK(heap_validate()) &&
           STRESS_CHECK(paging_validate(space)) && STRESS_CHECK(mapper_audit(space, &boot)) &&
           STRESS_CHECK(vmm_audit(&all, &good) == MM_OK) && STRESS_CHECK(good);
}

bool stress_one(const struct stress_test *test, unsigned limit, unsigned rounds)
{
    uint32_t sample = tuning_sample(0);
    struct usage before = usage();

    crew_choose(limit);
    stress.rounds = rounds;
    stress.counts = (struct stress_counts){0, 0};
    test->run();
    struct usage after = usage();
    STRESS_CHECK(after.frames == before.frames);
    STRESS_CHECK(after.heap_bytes == before.heap_bytes && after.objects == before.objects);
    (void)all_is_valid();
    (void)tuning_sample(sample);
    return stress.counts.wrong == 0;
}

struct stress_result stress_run(unsigned rounds)
{
    struct stress_result result = {0, 0};

    kprintf("stress: %u CPUs, %u rounds\n", cpu_set_count(cpus_online()), rounds);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        bool good = stress_one(&tests[i], CONFIG_CPUS_MAX, rounds);
        result.passed += good;
        result.failed += !good;
        kprintf("  %-40s %9lu %-10s %s%lu wrong" STYLE_PLAIN "\n", tests[i].name,
                stress.counts.done, tests[i].counted, good ? STYLE_GOOD : STYLE_BAD,
                stress.counts.wrong);
    }
    kprintf("stress: %u passed, %u failed\n", result.passed, result.failed);
    total.passed += result.passed;
    total.failed += result.failed;
    return result;
}

struct stress_result stress_total(void)
{
    return total;
}

bool stress_rounds(const char *text, unsigned *rounds)
{
    unsigned n = 0;

    for (; *text >= '0' && *text <= '9' && n <= STRESS_ROUNDS_MAX; text++)
        n = n * 10 + (unsigned)(*text - '0');
    if (*text != '\0' || n == 0 || n > STRESS_ROUNDS_MAX)
        return false;
    *rounds = n;
    return true;
}
