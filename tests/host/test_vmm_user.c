/* Spaces of users: ranges, stacks, faults, copies. */
#include "vmm_rig.h"

#define BASE (512 * GIB - 5 * HUGE_2M) /* across an entry of the root */

static struct vm vm, other;

static int start_with(unsigned levels)
{
    start_machine(levels, 64 * MIB);
    assert_int_equal(MM_OK, vmm_create(&vm, "user"));
    vmm_switch(&vm);
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

static enum vmm_fault access_at(uint64_t va, unsigned access)
{
    uint64_t value = 4711;
    return touch(&vm, va, access | VMM_USER, &value);
}

static uint64_t alloc_at(uint64_t va, uint64_t npages, prot_t prot, enum vmm_backing backing)
{
    const struct vmm_want want = {.at = VA(va), .npages = npages, .prot = prot, .backing = backing};
    return alloc(&vm, &want);
}

/* --- Spaces and ranges ------------------------------------------------------------ */

static void every_space_sees_the_kernel(void **state)
{
    (void)state;
    uint64_t value = 0, va = alloc_pages(KERNEL, 600, VMM_LAZY);
    assert_ptr_equal(&vm, vmm_current());
    assert_int_equal(VMM_RESOLVED, touch(&vm, va, VMM_WRITE, &value)); /* a fault in the kernel */
    assert_int_equal(VMM_FORBIDDEN, access_at(va, VMM_READ));
    vaddr_t device;
    assert_int_equal(MM_OK, vmm_map_device("d", PA(TIB), 1, CACHE_UC, &device));
    assert_true(walk(vm.space.root.v, device.v).present);
    vmm_switch(KERNEL);
    assert_ptr_equal(KERNEL, vmm_current());
    assert_int_equal(0, read_at(KERNEL, va));
    assert_int_equal(MM_DENIED, vmm_free(&vm, VA(va), 1));
    const struct vmm_want want = {.at = VA(va), .npages = 1, .prot = RW};
    assert_int_equal(MM_DENIED, vmm_alloc(&vm, &want, &device));
}

static void ranges_lie_where_they_are_wanted(void **state)
{
    (void)state;
    vaddr_t va = VA(1);
    uint64_t end = va_number(vm.end);
    struct vmm_want want = {.at = VA(BASE), .npages = 3000, .prot = RW, .backing = VMM_LAZY};
    assert_int_equal(BASE, alloc(&vm, &want));
    assert_int_equal(MM_EXISTS, vmm_alloc(&vm, &want, &va));
    want.at = VA(BASE - PAGE_BYTES);
    want.npages = 2;
    assert_int_equal(MM_EXISTS, vmm_alloc(&vm, &want, &va));
    const struct {
        uint64_t at, npages;
        mm_status_t status;
    } cases[] = {
        {VMM_USER_BASE - PAGE_BYTES, 1, MM_RANGE},
        {PAGE_BYTES, 1, MM_RANGE},
        {VMM_USER_BASE + 1, 1, MM_INVAL},
        {end - PAGE_BYTES, 2, MM_RANGE},
        {end, 1, MM_RANGE},
        {-end, 1, MM_DENIED},
        {BASE, ~0ull, MM_RANGE},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        want.at = VA(cases[i].at);
        want.npages = cases[i].npages;
        assert_int_equal(cases[i].status, vmm_alloc(&vm, &want, &va));
        assert_int_equal(1, va.v);
    }
    assert_int_equal(VMM_USER_BASE, alloc_at(VMM_USER_BASE, 1, RW, VMM_NOW));
    assert_int_equal(end - PAGE_BYTES, alloc_at(end - PAGE_BYTES, 1, RW, VMM_NOW));
    assert_int_equal(VMM_NOT_MAPPED, access_at(VMM_USER_BASE - 1, VMM_READ));
    assert_int_equal(VMM_NOT_MAPPED, vmm_fault(&vm, VA(end), VMM_READ | VMM_USER));
}

static void ranges_anywhere_do_not_meet(void **state)
{
    (void)state;
    uint64_t a = alloc_pages(&vm, 3, VMM_NOW), b = alloc_pages(&vm, 1000, VMM_LAZY);
    uint64_t c = alloc_pages(&vm, 2, VMM_NOW);
    assert_int_equal(0, b % HUGE_2M);
    assert_true(a >= VMM_USER_BASE && (a + 3 * PAGE_BYTES <= c || c + 2 * PAGE_BYTES <= a));
    write_at(&vm, a, 1);
    write_at(&vm, c, 2);
    assert_int_equal(1, read_at(&vm, a));
    free_pages(&vm, a, 3);
    assert_int_equal(a, alloc_pages(&vm, 3, VMM_NOW)); /* what is free below is used first */
    assert_int_equal(0, read_at(&vm, a));
    vm.end = VA(VMM_USER_BASE + 2 * HUGE_2M); /* a space that is soon full */
    unsigned n = 0;
    const struct vmm_want want = {.npages = 100, .prot = RW, .backing = VMM_RESERVED};
    for (vaddr_t va; vmm_alloc(&vm, &want, &va) == MM_OK; n++)
        ;
    assert_int_equal(4, n); /* below b */
    vm.end = VA(1ull << 47);
}

static void where_no_large_page_fits_small_ones_do(void **state)
{
    (void)state;
    vm.end = VA(4 * HUGE_2M);
    alloc_at(VMM_USER_BASE + 1000 * PAGE_BYTES, 1, RW, VMM_NOW);
    assert_int_equal(2 * HUGE_2M, alloc_pages(&vm, 512, VMM_LAZY));
    uint64_t before = dump(&vm, false);
    const struct vmm_want aligned = {.npages = 900, .align = 512, .prot = RW};
    vaddr_t va;
    assert_int_equal(MM_NOMEM, vmm_alloc(&vm, &aligned, &va));
    assert_int_equal(before, dump(&vm, false));
    assert_int_equal(VMM_USER_BASE, alloc_pages(&vm, 900, VMM_NOW));
    vm.end = VA(1ull << 47);
}

static void reserving_a_tebibyte_costs_little(void **state)
{
    (void)state;
    uint64_t before = used_frames(), va = alloc_pages(&vm, TIB / PAGE_BYTES, VMM_RESERVED);
    assert_in_range(used_frames() - before, 0, 1);
    assert_int_equal(VMM_IS_RESERVED, access_at(va + TIB - 1, VMM_READ));
    assert_int_equal(MM_OK, vmm_commit(&vm, VA(va + 5 * GIB), 1, VMM_NOW));
    assert_int_equal(0, read_at(&vm, va + 5 * GIB));
    assert_in_range(used_frames() - before, 4, 6);
    free_pages(&vm, va, TIB / PAGE_BYTES);
    assert_int_equal(before, used_frames());
}

static void protections_are_kept(void **state)
{
    (void)state;
    uint64_t va = alloc_at(BASE, 1024, RW, VMM_LAZY);
    write_at(&vm, va, 7);
    assert_int_equal(MM_OK, vmm_protect(&vm, VA(va + PAGE_BYTES), 700, PROT_READ));
    assert_int_equal(VMM_FORBIDDEN, access_at(va + PAGE_BYTES, VMM_WRITE));
    assert_int_equal(VMM_FORBIDDEN, access_at(va + 600 * PAGE_BYTES, VMM_WRITE)); /* lazy */
    assert_int_equal(0, read_at(&vm, va + 600 * PAGE_BYTES));
    assert_int_equal(VMM_FORBIDDEN, access_at(va + 600 * PAGE_BYTES, VMM_WRITE));
    assert_int_equal(VMM_RESOLVED, access_at(va + 701 * PAGE_BYTES, VMM_WRITE));
    assert_int_equal(MM_OK, vmm_protect(&vm, VA(va), 1024, RX));
    assert_int_equal(VMM_RESOLVED, access_at(va + 1023 * PAGE_BYTES, VMM_FETCH));
    assert_int_equal(VMM_FORBIDDEN, vmm_fault(&vm, VA(va), VMM_FETCH)); /* the kernel itself */
    assert_int_equal(VMM_FORBIDDEN, vmm_fault(&vm, VA(va), VMM_READ | VMM_USER | VMM_KEY));
    assert_int_equal(7, read_at(&vm, va));
    assert_int_equal(MM_DENIED, vmm_protect(&vm, VA(va), 1, RW | PROT_EXEC));
    assert_int_equal(MM_INVAL, vmm_protect(&vm, VA(va), 1, 0));
    assert_int_equal(MM_NOTFOUND, vmm_protect(&vm, VA(va), 1025, RW));
    assert_int_equal(MM_OK, vmm_protect(&vm, VA(va), 1, PROT_READ | PROT_KEY(3)));
    assert_int_equal(3, PROT_KEY_OF(run_from(&vm, va).prot));
}

static void a_stack_grows_downwards(void **state)
{
    (void)state;
    uint64_t va = alloc_at(BASE, 100, RW, VMM_STACK), top = va + 100 * PAGE_BYTES;
    assert_int_equal(VMM_IS_PAGE, run_from(&vm, top - PAGE_BYTES).kind);
    assert_int_equal(VMM_STACK_SKIPPED, access_at(top - 19 * PAGE_BYTES, VMM_WRITE));
    assert_int_equal(VMM_RESOLVED, access_at(top - 17 * PAGE_BYTES, VMM_WRITE));
    assert_int_equal(VMM_RESOLVED, access_at(top - 33 * PAGE_BYTES, VMM_READ));
    assert_int_equal(VMM_STACK_SKIPPED, access_at(top - 50 * PAGE_BYTES, VMM_WRITE));
    assert_int_equal(VMM_RESOLVED, access_at(top - 10 * PAGE_BYTES, VMM_READ)); /* a hole */
    for (uint64_t at = top - 34 * PAGE_BYTES; at > va; at -= PAGE_BYTES)
        assert_int_equal(VMM_RESOLVED, access_at(at, VMM_WRITE));
    assert_int_equal(VMM_GUARD_HIT, access_at(va + 8, VMM_WRITE));
    assert_int_equal(VMM_NOT_MAPPED, access_at(va - 8, VMM_WRITE));
    check_everything();
    const struct vmm_want want = {.npages = 1, .prot = RW, .backing = VMM_STACK};
    vaddr_t out;
    assert_int_equal(MM_INVAL, vmm_alloc(&vm, &want, &out));
    assert_int_equal(MM_OK, vmm_decommit(&vm, VA(va), 100)); /* its guard stays */
    uint64_t next = alloc_at(BASE + HUGE_2M, 100, RW, VMM_STACK) + 100 * PAGE_BYTES;
    assert_int_equal(MM_OK, vmm_decommit(&vm, VA(next - PAGE_BYTES), 1)); /* no page at all */
    assert_int_equal(VMM_STACK_SKIPPED, access_at(next - 3 * PAGE_BYTES, VMM_WRITE));
    assert_int_equal(VMM_RESOLVED, access_at(next - 2 * PAGE_BYTES, VMM_WRITE)); /* its last */
    assert_int_equal(VMM_RESOLVED, access_at(next - 3 * PAGE_BYTES, VMM_WRITE));
    assert_int_equal(VMM_GUARD_HIT, access_at(va + 8, VMM_WRITE));
    free_pages(&vm, va, 100);
}

static void locked_pages_stay(void **state)
{
    (void)state;
    uint64_t va = alloc_at(BASE, 1500, RW, VMM_LAZY), before;
    write_at(&vm, va + 3 * PAGE_BYTES, 3);
    assert_int_equal(MM_OK, vmm_lock(&vm, VA(va + PAGE_BYTES), 1200));
    before = vm.faults;
    for (uint64_t i = 1; i <= 1200; i++)
        write_at(&vm, va + i * PAGE_BYTES + 8, i);
    assert_int_equal(before, vm.faults);
    assert_int_equal(3, read_at(&vm, va + 3 * PAGE_BYTES));
    assert_int_equal(MM_DENIED, vmm_decommit(&vm, VA(va), 2));
    assert_int_equal(MM_OK, vmm_unlock(&vm, VA(va), 1500));
    assert_int_equal(MM_OK, vmm_decommit(&vm, VA(va), 2));
    assert_int_equal(MM_NOTFOUND, vmm_lock(&vm, VA(va), 1501));
    const struct vmm_want want = {
        .npages = 10, .prot = RW, .backing = VMM_LAZY, .flags = VMM_LOCKED};
    uint64_t locked = alloc(&vm, &want);
    assert_int_equal(VMM_IS_PAGE, run_from(&vm, locked).kind);
    assert_int_equal(PROT_LOCKED, run_from(&vm, locked).prot & PROT_LOCKED);
}

static void memory_that_is_given_stays_the_givers(void **state)
{
    (void)state;
    paddr_t ram;
    vaddr_t va;
    assert_int_equal(MM_OK, pmm_alloc_order(9, NULL, &ram));
    const struct vmm_want want = {.npages = 512, .prot = RW};
    assert_int_equal(MM_OK, vmm_map(&vm, &want, ram, &va));
    assert_int_equal(HUGE_2M, run_from(&vm, va.v).page_bytes);
    write_at(&vm, va.v + HUGE_2M - 8, 8);
    assert_int_equal(MM_OK, vmm_clone(&vm, &other, "other"));
    vmm_switch(&other);
    write_at(&other, va.v, 9); /* seen by both */
    assert_int_equal(9, *(uint64_t *)phys_to_virt(ram));
    assert_int_equal(MM_DENIED, vmm_decommit(&other, va, 1));
    vmm_switch(KERNEL);
    vmm_destroy(&other);
    vmm_destroy(&vm);
    assert_true(pmm_is_used(ram));
    pmm_free_order(ram, 9);
}

/* --- Copies ----------------------------------------------------------------------------- */

static void a_copy_is_shared_until_it_is_written(void **state)
{
    (void)state;
    uint64_t va = alloc_at(BASE, 1024 + 10, RW, VMM_NOW);
    for (uint64_t i = 0; i < 1034; i++)
        write_at(&vm, va + i * PAGE_BYTES, i + 1);
    uint64_t before = used_frames(), tables = vm.space.ntables;
    assert_int_equal(MM_OK, vmm_clone(&vm, &other, "other"));
    assert_in_range(used_frames() - before, 1,
                    tables + 8); /* tables, and records of what is shared */
    write_at(&vm, va, 1000);
    write_at(&vm, va + 1033 * PAGE_BYTES, 2000);
    assert_int_equal(1000, read_at(&vm, va));
    check_everything();
    vmm_switch(&other);
    for (uint64_t i = 0; i < 1034; i++)
        assert_int_equal(i + 1, read_at(&other, va + i * PAGE_BYTES));
    before = used_frames();
    write_at(&other, va + 1033 * PAGE_BYTES, 3000); /* the last one: no copy */
    assert_int_equal(before, used_frames());
    write_at(&other, va, 3000);
    assert_int_equal(before + 1, used_frames()); /* a large page that is split */
    write_at(&other, va + 5 * PAGE_BYTES, 4000);
    assert_int_equal(before + 2, used_frames());
    check_everything();
    vmm_switch(&vm);
    assert_int_equal(6, read_at(&vm, va + 5 * PAGE_BYTES));
    vmm_destroy(&other);
    before = used_frames();
    write_at(&vm, va + HUGE_2M + 10 * PAGE_BYTES, 1); /* a large page that nobody shares any more */
    assert_int_equal(before, used_frames());
    check_everything();
}

static void a_copy_has_all_that_is_no_page_too(void **state)
{
    (void)state;
    uint64_t lazy = alloc_at(BASE, 512, RW, VMM_LAZY);
    uint64_t set_aside = alloc_at(BASE + HUGE_2M, 512, RW, VMM_RESERVED);
    uint64_t stack = alloc_at(BASE + 2 * HUGE_2M, 16, RW, VMM_STACK);
    uint64_t constant = alloc_at(BASE + 3 * HUGE_2M, 16, RW, VMM_NOW);
    write_at(&vm, constant, 5);
    assert_int_equal(MM_OK, vmm_protect(&vm, VA(constant), 16, PROT_READ));
    uint64_t before = dump(&vm, false);
    assert_int_equal(MM_OK, vmm_clone(&vm, &other, "other"));
    assert_int_equal(before, dump(&other, false));
    assert_int_equal(before, dump(&vm, false));
    assert_int_equal(VMM_FORBIDDEN, access_at(constant, VMM_WRITE));
    assert_int_equal(MM_OK, vmm_protect(&vm, VA(constant), 1, RW));
    write_at(&vm, constant, 6);
    write_at(&vm, lazy, 1);
    vmm_switch(&other);
    assert_int_equal(5, read_at(&other, constant));
    assert_int_equal(0, read_at(&other, lazy));
    uint64_t value;
    assert_int_equal(VMM_IS_RESERVED, touch(&other, set_aside, VMM_READ, &value));
    assert_int_equal(VMM_GUARD_HIT, touch(&other, stack, VMM_READ, &value));
    vmm_destroy(&vm);
    assert_int_equal(5, read_at(&other, constant));
}

static void locking_makes_copies(void **state)
{
    (void)state;
    uint64_t va = alloc_at(BASE, 600, RW, VMM_NOW), before;
    write_at(&vm, va, 1);
    assert_int_equal(MM_OK, vmm_clone(&vm, &other, "other"));
    before = used_frames();
    assert_int_equal(MM_OK, vmm_lock(&vm, VA(va), 600));
    assert_true(used_frames() >= before + 600);
    before = vm.faults;
    for (uint64_t i = 0; i < 600; i++)
        write_at(&vm, va + i * PAGE_BYTES, 7);
    assert_int_equal(before, vm.faults);
    vmm_switch(&other);
    assert_int_equal(1, read_at(&other, va));
    assert_int_equal(0, run_from(&other, va).prot & PROT_LOCKED);
}

static void a_commit_that_fails_leaves_small_pages_small(void **state)
{
    (void)state;
    const uint64_t npages = 64 * 512, large = BASE + npages * PAGE_BYTES;
    const struct vmm_want want = {.at = VA(BASE),
                                  .npages = npages,
                                  .prot = RW,
                                  .backing = VMM_RESERVED,
                                  .flags = VMM_SMALL_PAGES};
    alloc(&vm, &want);
    alloc_at(large, 1024, RW, VMM_RESERVED);
    uint64_t before = dump(&vm, false);
    assert_int_equal(MM_NOMEM, vmm_commit(&vm, VA(BASE), npages + 1024, VMM_NOW));
    assert_int_equal(before, dump(&vm, false));
    assert_int_equal(MM_OK, vmm_commit(&vm, VA(BASE), npages + 1024, VMM_LAZY));
    assert_int_equal(0, read_at(&vm, BASE));
    assert_int_equal(PAGE_BYTES, run_from(&vm, BASE).page_bytes);
    assert_int_equal(0, read_at(&vm, large));
    assert_int_equal(HUGE_2M, run_from(&vm, large).page_bytes);
}

/* There a page that may be written could be executed, too, as far as its entry says. */
static int start_without_nx(void **state)
{
    without_nx = true;
    int result = start(state);
    without_nx = false;
    return result;
}

static void a_cpu_without_nx_can_do_it_all(void **state)
{
    a_copy_is_shared_until_it_is_written(state);
    uint64_t va = alloc_at(100 * GIB, 1024, RW, VMM_NOW);
    assert_int_equal(MM_OK, vmm_protect(&vm, VA(va), 512, RX));
    assert_int_equal(MM_OK, vmm_decommit(&vm, VA(va + 100 * PAGE_BYTES), 700));
    assert_int_equal(MM_OK, vmm_commit(&vm, VA(va + 200 * PAGE_BYTES), 500, VMM_NOW));
    assert_int_equal(MM_OK, vmm_clone(&vm, &other, "other"));
    assert_int_equal(MM_OK, vmm_lock(&vm, VA(va), 1024));
    write_at(&vm, va + 600 * PAGE_BYTES, 1);
    assert_int_equal(VMM_FORBIDDEN, access_at(va, VMM_WRITE));
    check_everything();
}

/* --- The audit ------------------------------------------------------------------------ */

static struct vmm_audit audit_now(bool expected)
{
    struct vmm_audit audit;
    bool good;
    assert_int_equal(MM_OK, vmm_audit(&audit, &good));
    assert_int_equal(expected, good);
    return audit;
}

static void the_audit_finds_damage(void **state)
{
    (void)state;
    struct space *kernel = &KERNEL->space;
    uint64_t va = alloc_pages(KERNEL, 1, VMM_NOW), user = alloc_at(BASE, 1, RW, VMM_NOW);
    vaddr_t free = VA(va + 64 * PAGE_BYTES);
    paddr_t pa = run_from(KERNEL, va).pa;
    struct vmm_audit found = audit_now(true);
    assert_int_equal(2, found.spaces);
    assert_int_equal(2, found.owned);
    assert_int_equal(0, found.shared);
    assert_int_equal(kernel->ntables + vm.space.ntables, found.tables);

    assert_int_equal(MM_OK, paging_map(kernel, free, pa, 1, RW | PROT_OWNED, CACHE_WB));
    found = audit_now(false);
    assert_int_equal(1, found.mapped_twice);
    assert_int_equal(1, found.miscounted);
    assert_int_equal(free.v, found.first_bad.v);
    assert_int_equal(MM_OK, paging_note(kernel, free, 1, KIND(ENTRY_PAGE), 0, PROT_OWNED));
    assert_int_equal(MM_OK, paging_unmap(kernel, free, 1));

    assert_int_equal(MM_OK, shares_hooks.share(pa, 1)); /* counted, and nowhere */
    assert_int_equal(1, audit_now(false).miscounted);
    shares_hooks.release(pa, 1);

    pmm_free_frame(pa);
    found = audit_now(false);
    assert_int_equal(1, found.not_in_use);
    assert_int_equal(va, found.first_bad.v);
    assert_int_equal(MM_OK, pmm_mark_used(pa, 1));

    kernel->allow_wx = true;
    assert_int_equal(MM_OK, paging_set_prot(kernel, VA(va), 1, KINDS_ALL, RW | PROT_EXEC));
    assert_int_equal(1, audit_now(false).writable_executable);
    assert_int_equal(MM_OK, paging_set_prot(kernel, VA(va), 1, KINDS_ALL, RW));
    kernel->allow_wx = false;

    assert_int_equal(MM_OK, paging_set_prot(&vm.space, VA(user), 1, KINDS_ALL, RW));
    assert_int_equal(1, audit_now(false).user_in_kernel);
    assert_int_equal(MM_OK, paging_set_prot(&vm.space, VA(user), 1, KINDS_ALL, RW | PROT_USER));
    (void)audit_now(true);
}

/* --- No memory ------------------------------------------------------------------------------ */

#define SMALL (BASE + 64 * HUGE_2M)
#define HUGE  (700 * GIB)

static uint64_t range;

static mm_status_t make_now(void)
{
    vaddr_t va;
    const struct vmm_want want = {.npages = 1200, .prot = RW};
    return vmm_alloc(&vm, &want, &va);
}

static mm_status_t make_at(void)
{
    vaddr_t va;
    const struct vmm_want want = {.at = VA(100 * GIB), .npages = 100, .prot = RW};
    return vmm_alloc(&vm, &want, &va);
}

static mm_status_t make_stack(void)
{
    vaddr_t va;
    const struct vmm_want want = {.npages = 600, .prot = RW, .backing = VMM_STACK};
    return vmm_alloc(&vm, &want, &va);
}

static mm_status_t clone(void)
{
    mm_status_t status = vmm_clone(&vm, &other, "other");
    if (status == MM_OK)
        vmm_destroy(&other);
    return status;
}

static mm_status_t create(void)
{
    mm_status_t status = vmm_create(&other, "other");
    if (status == MM_OK)
        vmm_destroy(&other);
    return status;
}

static mm_status_t free_part(void)
{
    return vmm_free(&vm, VA(range + 10 * PAGE_BYTES), 1000);
}

static mm_status_t lock_part(void)
{
    return vmm_lock(&vm, VA(range + 10 * PAGE_BYTES), 1000);
}

static mm_status_t fault_at(uint64_t va)
{
    enum vmm_fault result = access_at(va, VMM_WRITE);
    assert_true(result == VMM_RESOLVED || result == VMM_NO_MEMORY);
    return result == VMM_RESOLVED ? MM_OK : MM_NOMEM;
}

static mm_status_t fault_copy(void)
{
    return fault_at(range + 3 * PAGE_BYTES);
}

static mm_status_t fault_lazy(void) /* in 2 MiB */
{
    return fault_at(range + 1024 * PAGE_BYTES);
}

static mm_status_t fault_small(void) /* in 2 MiB, 4 KiB wanted */
{
    return fault_at(SMALL + 7 * PAGE_BYTES);
}

static mm_status_t fault_huge(void) /* in a GiB */
{
    return fault_at(HUGE + 7 * PAGE_BYTES);
}

static mm_status_t audit(void)
{
    struct vmm_audit found;
    bool good;
    return vmm_audit(&found, &good);
}

static void without_memory_nothing_has_happened(void **state)
{
    (void)state;
    static const struct {
        mm_status_t (*run)(void);
        bool fills;
        unsigned least;
    } cases[] = {
        {make_now, false, 3},    {make_at, false, 3},    {make_stack, false, 1},
        {clone, false, 2},       {create, false, 1},     {free_part, false, 1},
        {lock_part, true, 2},    {fault_copy, false, 1}, {fault_lazy, false, 1},
        {fault_small, false, 2}, {fault_huge, false, 2}, {audit, false, 1},
    };
    static struct vm third;
    const struct vmm_want small = {
        .at = VA(SMALL), .npages = 512, .prot = RW, .backing = VMM_LAZY, .flags = VMM_SMALL_PAGES};
    for (size_t i = 0; i < COUNT(cases); i++) {
        unsigned k = 1;
        for (;; k++) {
            range = alloc_at(BASE, 1024, RW, VMM_NOW);
            alloc_at(BASE + 2 * HUGE_2M, 1024, RW, VMM_LAZY);
            alloc(&vm, &small);
            alloc_at(HUGE, HUGE_1G / PAGE_BYTES, RW, VMM_LAZY);
            write_at(&vm, range + 3 * PAGE_BYTES, 12345);
            assert_int_equal(MM_OK, vmm_clone(&vm, &third, "third"));
            uint64_t before = dump(&vm, cases[i].fills);
            machine_fail_allocation(k);
            mm_status_t status = cases[i].run();
            bool failed = machine_failed();
            if (status != MM_OK) {
                assert_true(failed);
                assert_int_equal(MM_NOMEM, status);
                if (before != dump(&vm, cases[i].fills))
                    fail_msg("case %zu, allocation %u", i, k);
                if (cases[i].run != audit)
                    assert_int_equal(12345, read_at(&vm, range + 3 * PAGE_BYTES));
            }
            check_everything();
            vmm_destroy(&third);
            vmm_switch(KERNEL);
            vmm_destroy(&vm);
            assert_int_equal(MM_OK, vmm_create(&vm, "user"));
            vmm_switch(&vm);
            check_everything();
            if (!failed)
                break;
        }
        if (k <= cases[i].least)
            fail_msg("case %zu allocates only %u times", i, k - 1);
    }
}

#define TEST(name) TEST_ON_4_AND_5_LEVELS(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_space_sees_the_kernel),
        TEST(ranges_lie_where_they_are_wanted),
        TEST(ranges_anywhere_do_not_meet),
        TEST(where_no_large_page_fits_small_ones_do),
        TEST(reserving_a_tebibyte_costs_little),
        TEST(protections_are_kept),
        TEST(a_stack_grows_downwards),
        TEST(locked_pages_stay),
        TEST(memory_that_is_given_stays_the_givers),
        TEST(a_copy_is_shared_until_it_is_written),
        TEST(a_copy_has_all_that_is_no_page_too),
        TEST(locking_makes_copies),
        TEST(a_commit_that_fails_leaves_small_pages_small),
        cmocka_unit_test_setup_teardown(a_cpu_without_nx_can_do_it_all, start_without_nx, stop),
        TEST(the_audit_finds_damage),
        TEST(without_memory_nothing_has_happened),
    };
    return cmocka_run_group_tests_name("virtual memory of users", tests, NULL, NULL);
}
