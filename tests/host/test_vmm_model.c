/* Random work in several spaces, copies of each other, against plain arrays of pages; and on kernel
 * ranges against a list of them. Now and then an allocation of frames fails. */
#include "vmm_rig.h"

#define STEPS 2500

static struct rng rng;

static bool failed; /* an allocation, in this step */

static bool has_failed(void)
{
    failed = machine_failed() || failed;
    return failed;
}

/* Now and then an allocation of the next step fails. */
static void begin_step(void)
{
    failed = false;
    if (rng_below(&rng, 3) == 0)
        machine_fail_allocation((unsigned)rng_below(&rng, 8) + 1);
}

static uint64_t below(uint64_t limit)
{
    return rng_below(&rng, limit);
}

/* --- Spaces ------------------------------------------------------------------------ */

#define SPACES 3
#define NPAGES (3 * 512 + 200)
#define GIVEN  40 /* frames that are given to ranges */

enum kind { FREE, RESERVED, GUARD, BACKED, STACK, GIVEN_FRAME };

struct page {
    enum kind kind;
    prot_t prot;
    bool locked;
    uint64_t value; /* its first word; of a given frame, its number */
};

static struct vm vms[SPACES];
static struct page models[SPACES][NPAGES], saved[NPAGES];
static paddr_t given;

/* The space and the range that a step is about. */
static unsigned who;
static struct vm *vm;
static struct page *model;
static uint64_t first, count;

static vaddr_t address(uint64_t page)
{
    return VA(VMM_USER_BASE + page * PAGE_BYTES);
}

static uint64_t *given_word(uint64_t number)
{
    return phys_to_virt(pa_add(given, number * FRAME_BYTES));
}

static bool any(enum kind kind)
{
    for (uint64_t i = first; i < first + count; i++)
        if (model[i].kind == kind)
            return true;
    return false;
}

static bool all_free(void)
{
    for (uint64_t i = first; i < first + count; i++)
        if (model[i].kind != FREE)
            return false;
    return true;
}

static prot_t random_prot(void)
{
    static const prot_t prots[] = {PROT_READ, RW, RW, RW, RX, RW | PROT_KEY(5)};
    return prots[below(COUNT(prots))];
}

static void fill_model(enum kind kind, prot_t prot, bool locked)
{
    for (uint64_t i = first; i < first + count; i++)
        model[i] = (struct page){kind, prot | PROT_READ | PROT_USER, locked, 0};
}

/* --- The steps: each does it, and to the model if that is what must happen. ----------- */

static mm_status_t step_alloc(void)
{
    struct vmm_want want = {.npages = count, .prot = random_prot(), .backing = below(4)};
    bool anywhere = below(3) == 0;
    vaddr_t va = VA(1);
    if (!anywhere)
        want.at = address(first);
    if (below(3) == 0)
        want.flags |= VMM_SMALL_PAGES;
    if (want.backing < VMM_RESERVED && below(4) == 0)
        want.flags |= VMM_LOCKED;
    mm_status_t status = vmm_alloc(vm, &want, &va);
    if (want.backing == VMM_STACK && count < 2) {
        assert_int_equal(MM_INVAL, status);
        return MM_OK;
    }
    if (!anywhere && !all_free()) {
        assert_int_equal(MM_EXISTS, status);
        return MM_OK;
    }
    if (status == MM_NOMEM && anywhere && !has_failed())
        return MM_OK; /* there was no room */
    if (status != MM_OK) {
        assert_int_equal(1, va.v);
        return status;
    }
    first = PAGES(va.v - VMM_USER_BASE);
    assert_true(first + count <= NPAGES && all_free());
    static const enum kind kinds[] = {BACKED, BACKED, RESERVED, STACK};
    fill_model(kinds[want.backing], want.prot, (want.flags & VMM_LOCKED) != 0);
    if (want.backing == VMM_STACK) {
        model[first].kind = GUARD;
        model[first + count - 1].kind = BACKED;
    }
    return MM_OK;
}

static mm_status_t step_map(void)
{
    count = count < GIVEN ? count : GIVEN;
    uint64_t frame = below(GIVEN - count + 1);
    const struct vmm_want want = {.npages = count, .prot = random_prot(), .at = address(first)};
    vaddr_t va;
    mm_status_t status = vmm_map(vm, &want, pa_add(given, frame * FRAME_BYTES), &va);
    if (!all_free()) {
        assert_int_equal(MM_EXISTS, status);
        return MM_OK;
    }
    if (status != MM_OK)
        return status;
    fill_model(GIVEN_FRAME, want.prot, false);
    for (uint64_t i = 0; i < count; i++)
        model[first + i].value = frame + i;
    return MM_OK;
}

/* True if the status is what it must be for a range with holes. */
static bool has_holes(mm_status_t status)
{
    if (any(FREE))
        assert_int_equal(MM_NOTFOUND, status);
    return any(FREE);
}

static mm_status_t step_free(void)
{
    mm_status_t status = vmm_free(vm, address(first), count);
    if (has_holes(status))
        return MM_OK;
    if (status == MM_OK)
        memset(&model[first], 0, count * sizeof *model);
    return status;
}

static mm_status_t step_protect(void)
{
    prot_t prot = random_prot();
    mm_status_t status = vmm_protect(vm, address(first), count, prot);
    if (has_holes(status))
        return MM_OK;
    for (uint64_t i = first; status == MM_OK && i < first + count; i++)
        model[i].prot = prot | PROT_READ | PROT_USER;
    return status;
}

static mm_status_t step_commit(void)
{
    mm_status_t status = vmm_commit(vm, address(first), count, below(2) ? VMM_NOW : VMM_LAZY);
    if (has_holes(status))
        return MM_OK;
    for (uint64_t i = first; status == MM_OK && i < first + count; i++)
        if (model[i].kind == RESERVED)
            model[i].kind = BACKED;
    return status;
}

static mm_status_t step_decommit(void)
{
    bool denied = any(GIVEN_FRAME);
    for (uint64_t i = first; i < first + count; i++)
        denied = denied || model[i].locked;
    mm_status_t status = vmm_decommit(vm, address(first), count);
    if (has_holes(status))
        return MM_OK;
    if (denied) {
        assert_int_equal(MM_DENIED, status);
        return MM_OK;
    }
    for (uint64_t i = first; status == MM_OK && i < first + count; i++)
        if (model[i].kind == BACKED || model[i].kind == STACK)
            model[i] = (struct page){RESERVED, model[i].prot, false, 0};
    return status;
}

static mm_status_t step_lock(void)
{
    bool lock = below(2);
    mm_status_t status =
        lock ? vmm_lock(vm, address(first), count) : vmm_unlock(vm, address(first), count);
    if (has_holes(status))
        return MM_OK;
    for (uint64_t i = first; i < first + count; i++) {
        if (lock && model[i].kind == STACK && run_from(vm, address(i).v).kind == VMM_IS_PAGE)
            model[i].kind = BACKED; /* also if it has failed */
        if (status == MM_OK && (model[i].kind == BACKED || model[i].kind == GIVEN_FRAME))
            model[i].locked = lock;
    }
    if (status == MM_NOMEM)
        memcpy(saved, model, sizeof saved);
    return status;
}

static enum vmm_fault expected(const struct page *p, bool write)
{
    static const enum vmm_fault faults[] = {
        [FREE] = VMM_NOT_MAPPED, [RESERVED] = VMM_IS_RESERVED, [GUARD] = VMM_GUARD_HIT};
    if (p->kind < BACKED)
        return faults[p->kind];
    return write && !(p->prot & PROT_WRITE) ? VMM_FORBIDDEN : VMM_RESOLVED;
}

/* Accesses all over the range. */
static mm_status_t step_touch(void)
{
    for (uint64_t n = 0; n < 12; n++) {
        struct page *p = &model[first + below(count)];
        bool write = below(2);
        uint64_t value = rng_next(&rng), va = address((uint64_t)(p - model)).v;
        uint64_t faults = vm->faults;
        enum vmm_fault fault = touch(vm, va, VMM_USER | (write ? VMM_WRITE : VMM_READ), &value);
        if (fault == VMM_NO_MEMORY && has_failed())
            continue;
        if (p->kind == STACK && fault == VMM_STACK_SKIPPED)
            continue;
        assert_int_equal(expected(p, write), fault);
        if (fault != VMM_RESOLVED)
            continue;
        if (p->locked && !(p->kind == BACKED))
            assert_int_equal(faults, vm->faults);
        p->kind = p->kind == STACK ? BACKED : p->kind;
        uint64_t *word = p->kind == GIVEN_FRAME ? given_word(p->value) : &p->value;
        if (!write)
            assert_int_equal(*word, value);
        *word = value;
    }
    memcpy(saved, model, sizeof saved);
    return MM_OK;
}

static mm_status_t step_clone(void)
{
    unsigned from = (unsigned)((who + 1 + below(SPACES - 1)) % SPACES);
    vmm_switch(KERNEL);
    vmm_destroy(vm);
    mm_status_t status = below(4) ? vmm_clone(&vms[from], vm, "copy") : MM_NOMEM;
    if (status == MM_OK) {
        memcpy(model, models[from], sizeof saved);
        for (uint64_t i = 0; i < NPAGES; i++)
            model[i].locked = (model[i].locked && run_from(vm, address(i).v).prot & PROT_LOCKED);
    } else {
        memset(model, 0, sizeof saved);
        has_failed();
        assert_int_equal(MM_OK, vmm_create(vm, "user"));
    }
    vm->end = address(NPAGES);
    memcpy(saved, model, sizeof saved);
    return MM_OK;
}

/* --- All of a space against its model --------------------------------------------------- */

static void compare_page(const struct vmm_run *run, uint64_t page, const struct page *p)
{
    static const uint8_t kinds[] = {
        [FREE] = VMM_IS_FREE,   [RESERVED] = VMM_IS_SET_ASIDE, [GUARD] = VMM_IS_GUARD,
        [BACKED] = VMM_IS_PAGE, [STACK] = VMM_IS_STACK,        [GIVEN_FRAME] = VMM_IS_PAGE,
    };
    bool lazy = p->kind == BACKED && run->kind == VMM_IS_LAZY && p->value == 0 && !p->locked;
    if (run->kind != kinds[p->kind] && !lazy)
        fail_msg("page %lu is %u, not %u", page, run->kind, p->kind);
    assert_int_equal(p->prot, run->prot & ~PROT_NOTES);
    assert_int_equal(CACHE_WB, run->cache);
    assert_int_equal(p->locked, (run->prot & PROT_LOCKED) != 0);
    if (run->kind != VMM_IS_PAGE)
        return;
    bool owned = (run->prot & PROT_OWNED) != 0;
    assert_int_equal(owned, p->kind == BACKED);
    paddr_t pa = pa_add(run->pa, page * PAGE_BYTES - PAGES(run->va.v - VMM_USER_BASE) * PAGE_BYTES);
    if (owned)
        assert_int_equal(p->value, *(uint64_t *)phys_to_virt(pa));
    else
        assert_int_equal(pa.v, given.v + p->value * FRAME_BYTES);
}

static void compare(unsigned i)
{
    uint64_t page = 0;
    vaddr_t cursor = VA(0);
    struct vmm_run run;
    while (vmm_next(&vms[i], &cursor, &run) == MM_OK) {
        for (; page < PAGES(run.va.v - VMM_USER_BASE); page++)
            assert_int_equal(FREE, models[i][page].kind);
        for (uint64_t n = 0; n < run.npages; n++, page++)
            compare_page(&run, page, &models[i][page]);
    }
    for (; page < NPAGES; page++)
        assert_int_equal(FREE, models[i][page].kind);
}

static void one_step(unsigned step)
{
    static mm_status_t (*const steps[])(void) = {
        step_alloc,    step_alloc, step_alloc, step_map,   step_free,  step_protect, step_commit,
        step_decommit, step_lock,  step_touch, step_touch, step_touch, step_touch,   step_clone,
    };
    who = (unsigned)below(SPACES);
    vm = &vms[who];
    model = models[who];
    count = rng_size(&rng, below(8) ? 700 : NPAGES);
    first = below(NPAGES - count + 1);
    if (below(3) == 0) { /* ends that are those of large pages */
        first = 512 * below(3) + 512 - 16;
        count = 512 < NPAGES - first ? 512 : NPAGES - first;
    }
    memcpy(saved, model, sizeof saved);
    vmm_switch(vm);
    begin_step();
    mm_status_t status = steps[below(COUNT(steps))]();
    if (status != MM_OK) {
        if (status != MM_NOMEM || !has_failed())
            fail_msg("step %u: %s", step, mm_status_name(status));
        memcpy(model, saved, sizeof saved);
    }
    has_failed();
    for (unsigned i = 0; i < SPACES; i++)
        compare(i);
    if (step % 16 == 0)
        check_everything();
}

static void run_spaces(unsigned levels)
{
    rng = rng_start();
    start_machine(levels, 128 * MIB);
    assert_int_equal(MM_OK, pmm_alloc_frames(GIVEN, NULL, &given));
    memset(models, 0, sizeof models);
    for (unsigned i = 0; i < SPACES; i++) {
        assert_int_equal(MM_OK, vmm_create(&vms[i], "user"));
        vms[i].end = address(NPAGES);
    }
    fixed = unaccounted();
    for (unsigned step = 0; step < STEPS; step++)
        one_step(step);
    stop(NULL);
}

static void random_work_in_spaces(void **state)
{
    (void)state;
    run_spaces(4);
}

static void random_work_in_spaces_with_5_levels(void **state)
{
    (void)state;
    run_spaces(5);
}

/* --- Kernel ranges ----------------------------------------------------------------------- */

#define RANGES 200

static const char *const names[] = {"one", "two", "three"};

static struct known {
    uint64_t va, npages;
    const char *name;
} ranges[RANGES];
static unsigned nranges;

static bool is_backed(uint64_t va)
{
    struct vmm_run run = run_from(KERNEL, va);
    return run.va.v <= va && run.kind == VMM_IS_PAGE;
}

/* The first and the last page of each have its address. */
static void mark(uint64_t va)
{
    write_at(KERNEL, va, va);
}

static void add_range(void)
{
    struct known *r = &ranges[nranges];
    struct vmm_want want = {.name = names[below(3)],
                            .npages = rng_size(&rng, 1800),
                            .prot = RW,
                            .backing = below(2) ? VMM_LAZY : VMM_NOW,
                            .flags = below(2) ? VMM_SMALL_PAGES : 0};
    vaddr_t va;
    if (nranges == RANGES || vmm_alloc(KERNEL, &want, &va) != MM_OK)
        return;
    has_failed();
    *r = (struct known){va.v, want.npages, want.name};
    nranges++;
    mark(va.v);
    mark(va.v + (want.npages - 1) * PAGE_BYTES);
}

static void remove_range(struct known *r)
{
    if (below(2))
        vmm_free_range(VA(r->va));
    else if (vmm_free(KERNEL, VA(r->va), r->npages) != MM_OK)
        return;
    *r = ranges[--nranges];
}

static void remove_part(struct known *r)
{
    uint64_t front = below(r->npages), n = rng_between(&rng, 1, r->npages - front);
    if (n == r->npages || nranges == RANGES)
        return;
    mm_status_t status = vmm_free(KERNEL, VA(r->va + front * PAGE_BYTES), n);
    if (status != MM_OK) {
        assert_int_equal(MM_NOMEM, status);
        assert_true(has_failed());
        return;
    }
    has_failed();
    const struct known before = *r;
    const struct known rest = {before.va + (front + n) * PAGE_BYTES, before.npages - front - n,
                               before.name};
    r->npages = front;
    if (front == 0)
        *r = ranges[--nranges];
    else
        mark(before.va + (front - 1) * PAGE_BYTES);
    if (rest.npages > 0) {
        ranges[nranges++] = rest;
        mark(rest.va);
    }
}

static void check_ranges(void)
{
    unsigned seen = 0;
    for (struct vmm_range r = {0}; vmm_next_range(&r); seen++) {
        struct known *k = ranges;
        while (k < ranges + nranges && k->va != r.va.v)
            k++;
        assert_true(k < ranges + nranges);
        assert_int_equal(k->npages, r.npages);
        assert_string_equal(k->name, r.name);
        struct vmm_range found;
        assert_true(vmm_find(VA(k->va + below(k->npages) * PAGE_BYTES + 5), &found));
        assert_int_equal(k->va, found.va.v);
        assert_true(vmm_find(VA(k->va - 1), &found));
        assert_int_equal(k->va, found.va.v);
        assert_int_equal(k->va, read_at(KERNEL, k->va));
        uint64_t last = k->va + (k->npages - 1) * PAGE_BYTES;
        assert_true(is_backed(last));
        assert_int_equal(last, read_at(KERNEL, last));
    }
    assert_int_equal(nranges, seen);
}

static void random_work_on_kernel_ranges(void **state)
{
    (void)state;
    rng = rng_start();
    start_machine(4, 128 * MIB);
    nranges = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        struct known *r = nranges > 0 ? &ranges[below(nranges)] : NULL;
        unsigned what = (unsigned)below(nranges > 25 ? 4 : 8);
        begin_step();
        if (r == NULL || what > 3)
            add_range();
        else if (what == 3)
            remove_range(r);
        else
            remove_part(r);
        has_failed();
        check_ranges();
        if (step % 16 == 0)
            check_everything();
    }
    assert_true(nranges > 0);
    stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_work_in_spaces),
        cmocka_unit_test(random_work_in_spaces_with_5_levels),
        cmocka_unit_test(random_work_on_kernel_ranges),
    };
    return cmocka_run_group_tests_name("virtual memory against a model", tests, NULL, NULL);
}
