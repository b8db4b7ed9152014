/* Page faults, copies of spaces and frames that belong to them, on several CPUs at once. Each CPU uses the
 * pages by way of its TLB: a frame that is released while one still knows it shows poison. */
#include "mm/paging.h"
#include "smp_rig.h"
#include "walker.h"

#define RW     (PROT_READ | PROT_WRITE)
#define MEANT  (RW | PROT_USER)
#define LAZY   2u
#define PAGES  KIND(ENTRY_PAGE)
#define WINDOW 0xffffc00000000000ull
#define BEFORE 100
#define BASE   (GIB - BEFORE * PAGE_BYTES) /* across a PDPT entry; all of one table */
#define NPAGES (BEFORE + 512 + 88)
#define FRAMES (32 * MIB / PAGE_BYTES)
#define POISON 0xdeaddeaddeaddeadull

static struct space kernel, parent, child;
static uint64_t frames_at_start;

/* --- Frames: how often each is mapped -------------------------------------- */

static uint64_t mappings[FRAMES];
static uint64_t released;

static uint64_t *count_of(paddr_t frame)
{
    uint64_t i = pa_diff(PA(RAM_BASE), frame) / FRAME_BYTES;
    CPU_CHECK(i < FRAMES);
    return &mappings[i];
}

/* The first words of a page: what it is; whose it is if it is the child's; and one for each CPU. */
static uint64_t *word(paddr_t frame, unsigned i)
{
    return (uint64_t *)phys_to_virt(frame) + i;
}

static mm_status_t share(paddr_t base, uint64_t nframes)
{
    for (uint64_t i = 0; i < nframes; i++)
        CPU_CHECK(__atomic_fetch_add(count_of(pa_add(base, i * FRAME_BYTES)), 1, __ATOMIC_ACQ_REL) >
                  0);
    return MM_OK;
}

static void release(paddr_t base, uint64_t nframes)
{
    for (uint64_t i = 0; i < nframes; i++) {
        paddr_t frame = pa_add(base, i * FRAME_BYTES);
        uint64_t before = __atomic_fetch_sub(count_of(frame), 1, __ATOMIC_ACQ_REL);
        CPU_CHECK(before > 0);
        if (before > 1)
            continue;
        for (unsigned w = 0; w < 2 + NCPUS; w++)
            store(word(frame, w), POISON);
        CPU_CHECK(pmm_free_frame(frame) == MM_OK);
    }
    __atomic_fetch_add(&released, nframes, __ATOMIC_RELAXED);
}

static const struct frame_hooks hooks = {share, release};

static uint64_t tag_of(uint64_t va)
{
    return (va & ~(PAGE_BYTES - 1)) | 0x803; /* as an entry, it would lead nowhere */
}

/* One frame, or the 512 of a large page. */
static bool take_some(uint64_t va, uint64_t nframes, paddr_t *out)
{
    const struct pmm_limits limits = {.align_frames = nframes};
    if (pmm_alloc_frames(nframes, &limits, out) != MM_OK)
        return false;
    for (uint64_t i = 0; i < nframes; i++) {
        paddr_t frame = pa_add(*out, i * FRAME_BYTES);
        for (unsigned w = 1; w < 2 + NCPUS; w++)
            store(word(frame, w), 0);
        store(word(frame, 0), tag_of(va + i * PAGE_BYTES));
        store(count_of(frame), 1);
    }
    return true;
}

static bool take(uint64_t va, paddr_t *out)
{
    return take_some(va, 1, out);
}

/* --- Faults ------------------------------------------------------------------- */

static uint64_t wins[NPAGES], losses, taken_over, copied;

static bool is_exclusive(void *frame)
{
    return load(count_of(*(paddr_t *)frame)) == 1;
}

struct copy {
    paddr_t from, to;
};

/* Under the lock: before, a CPU could still write the page by what it has cached. */
static bool copy_page(void *argument)
{
    const struct copy *c = argument;
    for (unsigned w = 0; w < 2 + NCPUS; w++)
        store(word(c->to, w), load(word(c->from, w)));
    return true;
}

static void unshare(struct space *in, uint64_t va, const struct mapping *m)
{
    prot_t prot = m->prot & ~PROT_COPY;
    struct copy c = {.from = pa_add(m->pa, va_diff(m->va, VA(va)))};
    mm_status_t status =
        paging_exchange(in, VA(va), PAGE_BYTES, m, c.from, prot, m->cache, is_exclusive, &c.from);
    if (status == MM_OK)
        __atomic_fetch_add(&taken_over, 1, __ATOMIC_RELAXED);
    if (status != MM_NOTFOUND || !take(va, &c.to))
        return;
    status = paging_exchange(in, VA(va), PAGE_BYTES, m, c.to, prot, m->cache, copy_page, &c);
    release(status == MM_OK ? c.from : c.to, 1);
    if (status == MM_OK)
        __atomic_fetch_add(&copied, 1, __ATOMIC_RELAXED);
}

/* With a small page or, where there is room, perhaps a large one. */
static void fill(struct space *in, uint64_t va, const struct mapping *m)
{
    paddr_t frames;
    bool large = m->bytes >= HUGE_2M && rng_below(&rngs[port_cpu_id()], 2) == 0;
    uint64_t bytes = large ? HUGE_2M : PAGE_BYTES, n = bytes / PAGE_BYTES;
    va &= ~(bytes - 1);
    if (!take_some(va, n, &frames))
        return;
    mm_status_t status =
        paging_exchange(in, VA(va), bytes, m, frames, m->prot | PROT_OWNED, m->cache, NULL, NULL);
    if (status == MM_OK) {
        for (uint64_t i = 0; i < n; i++)
            __atomic_fetch_add(&wins[(va - BASE) / PAGE_BYTES + i], 1, __ATOMIC_RELAXED);
    } else {
        CPU_CHECK(status == MM_NOTFOUND || status == MM_NOMEM);
        __atomic_fetch_add(&losses, n, __ATOMIC_RELAXED);
        release(frames, n);
    }
}

/* False if the access is not allowed. */
static bool fault(struct space *in, uint64_t address, bool write)
{
    uint64_t va = address & ~(PAGE_BYTES - 1);
    struct mapping m;
    CPU_CHECK(paging_look(in, VA(va), &m) == MM_OK && m.kind != ENTRY_EMPTY);
    if (write && (m.prot & PROT_WRITE) == 0)
        return false;
    if (m.kind == LAZY)
        fill(in, va, &m);
    else if (write && (m.prot & PROT_COPY) != 0)
        unshare(in, va, &m);
    port_relax();
    return true;
}

static bool read_word(struct space *in, uint64_t va, uint64_t *value)
{
    while (!cpu_read(va, value))
        if (!fault(in, va, false))
            return false;
    return true;
}

static bool write_word(struct space *in, uint64_t va, uint64_t value)
{
    while (!cpu_write(va, value))
        if (!fault(in, va, true))
            return false;
    return true;
}

/* --- The rig -------------------------------------------------------------------- */

static const struct page_state lazy = {.kind = LAZY, .value = 9, .prot = MEANT};

static void create_user(struct space *out)
{
    CPU_CHECK(paging_create_user(out, &kernel) == MM_OK);
    out->hooks = &hooks;
}

static int start_with(unsigned levels)
{
    machine_start_simple(24 * MIB);
    machine.cpu.levels = (uint8_t)levels;
    cpus_make_shares(NCPUS);
    frames_at_start = machine_free_frames();
    memset(mappings, 0, sizeof mappings);
    memset(wins, 0, sizeof wins);
    losses = released = taken_over = copied = 0;
    assert_int_equal(MM_OK, paging_create(&kernel));
    kernel.kernel = true;
    assert_int_equal(MM_OK, paging_seal(&kernel, VA(WINDOW), TIB / PAGE_BYTES));
    create_user(&parent);
    assert_int_equal(MM_OK, paging_set(&parent, VA(BASE), NPAGES, KIND(ENTRY_EMPTY), &lazy));
    start_rngs();
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(4);
}

static int start_5_levels(void **state)
{
    (void)state;
    return start_with(5);
}

static int stop(void **state)
{
    (void)state;
    port_set_root(PA(0));
    paging_leave();
    assert_true(paging_validate(&parent) && paging_validate(&kernel));
    paging_destroy(&parent);
    paging_destroy(&kernel);
    for (unsigned i = 0; i < FRAMES; i++)
        assert_int_equal(0, mappings[i]);
    assert_int_equal(frames_at_start, machine_free_frames());
    assert_true(pmm_validate());
    machine_stop();
    return 0;
}

/* --- The same pages, touched by all ------------------------------------------------ */

#define ROUNDS 12

static void touch_all(unsigned cpu)
{
    paging_switch(&parent);
    for (unsigned round = 0; round < ROUNDS; round++) {
        cpus_meet();
        for (unsigned i = 0; i < NPAGES; i++) { /* the same order, or its reverse */
            uint64_t page = cpu % 2 == 0 ? i : NPAGES - 1 - i, va = BASE + page * PAGE_BYTES;
            CPU_CHECK(write_word(&parent, va + (2 + cpu) * 8, va + round));
        }
        cpus_meet();
        for (unsigned i = 0; i < NPAGES; i++)
            for (unsigned other = 0; other < NCPUS; other++) {
                uint64_t va = BASE + i * PAGE_BYTES, value = 0;
                CPU_CHECK(cpu_read(va + (2 + other) * 8, &value) && value == va + round);
            }
        cpus_meet();
        if (cpu != 0)
            continue;
        for (unsigned i = 0; i < NPAGES; i++)
            CPU_CHECK(load(&wins[i]) == round + 1); /* one of all has filled it */
        CPU_CHECK(paging_set(&parent, VA(BASE), NPAGES, PAGES, &lazy) == MM_OK);
    }
    cpus_meet();
}

static void one_of_all_that_fault_fills_a_page(void **state)
{
    (void)state;
    cpus_run(NCPUS, touch_all);
    print_message("             %lu frames were too late\n", losses);
    assert_int_equal(ROUNDS * NPAGES + losses, released);
}

/* --- Everything at once -------------------------------------------------------------- */

#define STEPS  3000
#define COPIES 40

static uint64_t last[NCPUS][NPAGES];
static uint64_t done, compared;

/* A page shows its own tag, nothing of the child's, and of this CPU what it has written last; or zeros,
 * if somebody has cleared the page since. */
static void check_page(unsigned cpu, uint64_t page)
{
    uint64_t va = BASE + page * PAGE_BYTES, value;
    CPU_CHECK(read_word(&parent, va, &value));
    if (value != tag_of(va))
        cpus_fail("0x%lx shows 0x%lx", va, value);
    CPU_CHECK(read_word(&parent, va + 8, &value) && value == 0);
    CPU_CHECK(read_word(&parent, va + (2 + cpu) * 8, &value));
    if (value != last[cpu][page] && value != 0)
        cpus_fail("0x%lx lost 0x%lx: 0x%lx", va, last[cpu][page], value);
    last[cpu][page] = value;
}

static void meddle(struct rng *rng)
{
    uint64_t first = rng_below(rng, NPAGES), n = rng_size(rng, NPAGES - first), used;
    vaddr_t va = VA(BASE + first * PAGE_BYTES);
    unsigned all = PAGES | KIND(LAZY);
    paddr_t frames[8];
    switch (rng_below(rng, 5)) {
    case 0: /* n is small more often than not; or a table goes, and a large state comes */
        if (rng_below(rng, 8) == 0) {
            va = VA(GIB);
            n = 512;
        }
        CPU_CHECK(paging_set(&parent, va, n, all, &lazy) == MM_OK);
        break;
    case 1:
        CPU_CHECK(paging_set_prot(&parent, va, n, all, PROT_READ | PROT_USER) == MM_OK);
        port_relax();
        CPU_CHECK(paging_set_prot(&parent, va, n, all, MEANT) == MM_OK);
        break;
    case 2:
        CPU_CHECK(paging_note(&parent, va, n, all, PROT_LOCKED, 0) == MM_OK);
        CPU_CHECK(paging_note(&parent, va, n, all, 0, PROT_LOCKED) == MM_OK);
        break;
    case 3:
        n = n > 8 ? 8 : n;
        if ((va_add(va, n * PAGE_BYTES - 1).v ^ va.v) >> 21 != 0)
            break;
        for (uint64_t i = 0; i < n; i++)
            if (!take(0, &frames[i])) {
                while (i > 0)
                    release(frames[--i], 1);
                return;
            }
        /* Which page gets which frame is not known: so none of them can be in use yet. */
        used = 0;
        for (uint64_t i = 0; i < n; i++) {
            uint64_t one = 0;
            store(word(frames[used], 0), tag_of(va.v + i * PAGE_BYTES));
            mm_status_t status = paging_fill(&parent, va_add(va, i * PAGE_BYTES), 1, LAZY,
                                             PROT_OWNED, &frames[used], &one);
            CPU_CHECK(status == MM_OK || status == MM_NOMEM);
            used += one;
        }
        for (; used < n; used++)
            release(frames[used], 1);
        break;
    default:
        CPU_CHECK(paging_validate(&parent));
    }
}

static void use_and_change(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    paging_switch(&parent);
    for (unsigned step = 0; step < STEPS || load(&done) == 0; step++) {
        uint64_t page = rng_below(rng, NPAGES), va = BASE + page * PAGE_BYTES;
        check_page(cpu, page);
        if (write_word(&parent, va + (2 + cpu) * 8, step + 1))
            last[cpu][page] = step + 1;
        check_page(cpu, page);
        if (rng_below(rng, 8) == 0)
            meddle(rng);
        port_relax();
    }
}

/* Words that the child has, all or as many as are there; 0 for what has no page. */
static uint64_t hash_child(void)
{
    uint64_t hash = 0, value;
    for (uint64_t i = 0; i < NPAGES; i++)
        for (unsigned w = 0; w < 2 + NCPUS; w++) {
            if (!cpu_read(BASE + i * PAGE_BYTES + w * 8, &value))
                value = 0;
            CPU_CHECK(value != POISON);
            CPU_CHECK(w > 0 || value == 0 || value == tag_of(BASE + i * PAGE_BYTES));
            hash = (hash ^ value) * 0x100000001b3ull;
        }
    return hash;
}

/* What the child has stays as it is, whatever the parent does; and the parent sees nothing of what the
 * child writes. */
static void copy_and_compare(struct rng *rng)
{
    create_user(&child);
    if (paging_clone(&parent, &child) != MM_OK) {
        paging_destroy(&child);
        return;
    }
    paging_switch(&child);
    uint64_t first = hash_child();
    for (unsigned i = 0; i < 5; i++)
        port_relax();
    CPU_CHECK(hash_child() == first);
    for (unsigned i = 0; i < 40; i++) {
        uint64_t va = BASE + rng_below(rng, NPAGES) * PAGE_BYTES, value;
        if (!write_word(&child, va + 8, 77))
            continue;
        CPU_CHECK(read_word(&child, va + 8, &value) && value == 77);
    }
    CPU_CHECK(paging_validate(&child));
    paging_switch(&kernel);
    CPU_CHECK(cpu_set_is_empty(&child.cpus));
    paging_destroy(&child);
    __atomic_fetch_add(&compared, 1, __ATOMIC_RELAXED);
}

static void copy_or_use(unsigned cpu)
{
    if (cpu != 0) {
        use_and_change(cpu);
        return;
    }
    for (unsigned i = 0; i < COPIES; i++)
        copy_and_compare(&rngs[0]);
    store(&done, 1);
}

static void a_copy_is_a_picture_of_one_moment(void **state)
{
    (void)state;
    memset(last, 0, sizeof last);
    done = compared = 0;
    cpus_run(NCPUS, copy_or_use);
    print_message("             %lu copies; pages: %lu filled twice, %lu copied, %lu taken over\n",
                  compared, losses, copied, taken_over);
    assert_true(compared > COPIES / 2 && copied > 0 && taken_over > 0);
}

/* Without shootdowns, a CPU would go on writing what has become a copy: the test above would see it. */
static void write_what_is_shared(unsigned cpu)
{
    uint64_t value;
    paging_switch(&parent);
    if (cpu == 0)
        CPU_CHECK(write_word(&parent, BASE, 1));
    cpus_meet();
    CPU_CHECK(write_word(&parent, BASE + 8, cpu) && cpu_read(BASE, &value) && value == 1);
    cpus_meet();
    if (cpu == 0) {
        create_user(&child);
        CPU_CHECK(paging_clone(&parent, &child) == MM_OK);
    }
    cpus_meet();
    if (cpu == 1)
        CPU_CHECK(cpu_write(BASE + 8, 99)); /* stale */
    cpus_meet();
    if (cpu == 0)
        paging_destroy(&child);
}

static void a_missing_shootdown_would_be_seen(void **state)
{
    (void)state;
    cpus_drop_shootdowns(true);
    cpus_run(2, write_what_is_shared);
    cpus_drop_shootdowns(false);
}

#define TEST(name) TEST_ON_4_AND_5_LEVELS(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_of_all_that_fault_fills_a_page),
        TEST(a_copy_is_a_picture_of_one_moment),
        TEST(a_missing_shootdown_would_be_seen),
    };
    return cmocka_run_group_tests_name("states and copies on several CPUs", tests, NULL, NULL);
}
