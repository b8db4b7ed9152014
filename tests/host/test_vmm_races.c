/* Virtual memory: what another CPU does between two steps of an operation. The linker leads calls of
 * paging by way of here (HOST_LDFLAGS): before one of them, the other CPU's turn is run. */
#include "vmm_rig.h"

static struct vm user, *vm; /* that is tested */
static uint64_t at;

/* Before the call of this number from now on. */
static struct gap {
    void (*turn)(void);
    unsigned calls;
} gap;

static void other_cpu(void)
{
    void (*turn)(void) = gap.turn;
    if (turn == NULL || gap.calls-- > 0)
        return;
    gap.turn = NULL;
    turn();
}

static void before_call(unsigned calls, void (*turn)(void))
{
    gap = (struct gap){turn, calls};
}

static void assert_had_turn(void)
{
    assert_null(gap.turn);
}

#define SET_ARGUMENTS \
    struct space *s, vaddr_t va, uint64_t n, unsigned over, const struct page_state *state
mm_status_t __real_paging_set(SET_ARGUMENTS);
mm_status_t __wrap_paging_set(SET_ARGUMENTS);
mm_status_t __wrap_paging_set(SET_ARGUMENTS)
{
    other_cpu();
    return __real_paging_set(s, va, n, over, state);
}

#define PROT_ARGUMENTS struct space *s, vaddr_t va, uint64_t n, unsigned over, prot_t prot
mm_status_t __real_paging_set_prot(PROT_ARGUMENTS);
mm_status_t __wrap_paging_set_prot(PROT_ARGUMENTS);
mm_status_t __wrap_paging_set_prot(PROT_ARGUMENTS)
{
    other_cpu();
    return __real_paging_set_prot(s, va, n, over, prot);
}

#define NOTE_ARGUMENTS \
    struct space *s, vaddr_t va, uint64_t n, unsigned in, prot_t set, prot_t clear
mm_status_t __real_paging_note(NOTE_ARGUMENTS);
mm_status_t __wrap_paging_note(NOTE_ARGUMENTS);
mm_status_t __wrap_paging_note(NOTE_ARGUMENTS)
{
    other_cpu();
    return __real_paging_note(s, va, n, in, set, clear);
}

static int start_in(bool kernel)
{
    start_machine(4, 64 * MIB);
    assert_int_equal(MM_OK, vmm_create(&user, "user"));
    vmm_switch(&user);
    vm = kernel ? KERNEL : &user;
    gap.turn = NULL;
    return 0;
}

static int start_user(void **state)
{
    (void)state;
    return start_in(false);
}

static int start_kernel(void **state)
{
    (void)state;
    return start_in(true);
}

/* A CPU whose pages cannot tell all that states can. */
static int start_old(void **state)
{
    without_nx = true;
    start_kernel(state);
    without_nx = false;
    return 0;
}

static int start_old_user(void **state)
{
    start_old(state);
    vm = &user;
    return 0;
}

/* All of [first, first + n) is of this kind, and may be written or not. */
static void assert_all(uint64_t first, uint64_t n, enum vmm_kind kind, bool write)
{
    for (uint64_t va = at + first * PAGE_BYTES, end = va + n * PAGE_BYTES; va < end;) {
        struct mapping m;
        assert_int_equal(MM_OK, paging_look(&vm->space, VA(va), &m));
        struct vmm_run run = run_from(vm, m.va.v);
        assert_int_equal(kind, run.kind);
        assert_int_equal(write, (m.prot & PROT_WRITE) != 0);
        va = m.va.v + m.bytes;
    }
}

/* --- Turns ---------------------------------------------------------------------- */

static void forbid_writing(void)
{
    assert_int_equal(MM_OK, vmm_protect(vm, VA(at), 1024, PROT_READ));
}

static void forbid_some_writing(void)
{
    assert_int_equal(MM_OK, vmm_protect(vm, VA(at + 100 * PAGE_BYTES), 50, PROT_READ));
}

static void touch_a_page(void)
{
    assert_int_equal(VMM_RESOLVED, vmm_fault(vm, VA(at + 8 * PAGE_BYTES), VMM_WRITE));
}

static void commit_half(void)
{
    assert_int_equal(MM_OK, vmm_commit(vm, VA(at), 512, VMM_LAZY));
}

static uint64_t others;

static void allocate_and_free_wrongly(void)
{
    others = alloc_pages(KERNEL, 3, VMM_NOW); /* as much as there is room for, with its guard */
    vmm_free_range(VA(at));
}

/* --- Tests ---------------------------------------------------------------------- */

static void cutting_the_end_does_not_undo_a_protection(void **state)
{
    (void)state;
    at = alloc_pages(vm, 1024, VMM_NOW);
    before_call(0, forbid_writing);
    assert_int_equal(MM_OK, vmm_commit(vm, VA(at), 100, VMM_LAZY)); /* nothing is reserved */
    assert_had_turn();
    assert_all(0, 1024, VMM_IS_PAGE, false);
}

static void cutting_the_end_goes_on_beside_a_fault(void **state)
{
    (void)state;
    at = alloc_pages(vm, 1024, VMM_LAZY);
    uint64_t before = at;
    at = (at + HUGE_2M - 1) & ~(HUGE_2M - 1);
    before_call(0, touch_a_page);
    assert_int_equal(MM_OK, vmm_decommit(vm, VA(at), 100));
    assert_had_turn();
    assert_all(0, 100, VMM_IS_SET_ASIDE, true);
    at = before;
}

static void decommitting_does_not_lose_a_protection(void **state)
{
    (void)state;
    static void (*const turns[])(void) = {forbid_writing, forbid_some_writing};
    for (unsigned i = 0; i < 4; i++) {
        at = alloc_pages(vm, 1024, i < 2 ? VMM_NOW : VMM_LAZY);
        before_call(0, turns[i % 2]);
        assert_int_equal(MM_OK, vmm_decommit(vm, VA(at), 1024));
        assert_had_turn();
        assert_all(100, 50, VMM_IS_SET_ASIDE, false);
        assert_all(0, 100, VMM_IS_SET_ASIDE, i % 2 != 0);
        assert_all(150, 1024 - 150, VMM_IS_SET_ASIDE, i % 2 != 0);
    }
}

static void committing_does_not_lose_a_protection(void **state)
{
    (void)state;
    at = alloc_pages(vm, 1024, VMM_RESERVED);
    before_call(0, forbid_some_writing);
    assert_int_equal(MM_OK, vmm_commit(vm, VA(at), 1024, VMM_LAZY));
    assert_had_turn();
    assert_all(0, 100, VMM_IS_LAZY, true);
    assert_all(100, 50, VMM_IS_LAZY, false);
    assert_all(150, 1024 - 150, VMM_IS_LAZY, true);
}

static void two_cpus_may_commit_the_same_pages(void **state)
{
    (void)state;
    at = alloc_pages(vm, 1024, VMM_RESERVED);
    before_call(0, commit_half);
    assert_int_equal(MM_OK, vmm_commit(vm, VA(at), 1024, VMM_LAZY));
    assert_had_turn();
    assert_all(0, 1024, VMM_IS_LAZY, true);
}

/* Pages of all protections, in the place of which states come and go. */
static void what_pages_cannot_tell_does_not_matter(void **state)
{
    (void)state;
    static const prot_t prots[] = {RW, PROT_READ, RX};
    at = alloc_pages(vm, 1024, VMM_NOW);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(MM_OK, vmm_protect(vm, VA(at + 200 * i * PAGE_BYTES), 200, prots[i]));
    assert_int_equal(MM_OK, vmm_decommit(vm, VA(at + 50 * PAGE_BYTES), 500));
    assert_int_equal(MM_OK, vmm_commit(vm, VA(at + 60 * PAGE_BYTES), 300, VMM_LAZY));
    assert_int_equal(MM_OK, vmm_decommit(vm, VA(at), 1024));
    assert_all(0, 200, VMM_IS_SET_ASIDE, true);
    assert_all(200, 400, VMM_IS_SET_ASIDE, false);
    assert_all(600, 424, VMM_IS_SET_ASIDE, true);
    struct mapping m;
    assert_int_equal(MM_OK, paging_look(&vm->space, VA(at), &m));
    assert_int_equal(vm->space.user ? PROT_USER : PROT_GLOBAL,
                     m.prot & (PROT_USER | PROT_GLOBAL | PROT_EXEC));
}

/* Somebody frees all of a range while its end is being freed: that is misuse, and no more. */
static void a_range_that_gets_shorter_is_not_freed_with_others(void **state)
{
    (void)state;
    at = alloc_pages(KERNEL, 10, VMM_NOW);
    before_call(1, allocate_and_free_wrongly); /* after the pages are gone */
    assert_int_equal(MM_OK, vmm_free(KERNEL, VA(at + 6 * PAGE_BYTES), 4));
    assert_had_turn();
    assert_misuse("is being freed by somebody else");
    struct vmm_range range;
    assert_true(vmm_find(VA(others), &range));
    assert_int_equal(3, range.npages);
    assert_int_equal(VMM_IS_PAGE, run_from(KERNEL, others).kind);
    assert_int_equal(others, run_from(KERNEL, others).va.v);
    assert_true(vmm_find(VA(at), &range));
    assert_int_equal(6, range.npages);
}

#define IN(start, test) cmocka_unit_test_setup_teardown(test, start, stop)
#define EVERYWHERE(test) \
    IN(start_user, test), IN(start_kernel, test), IN(start_old, test), IN(start_old_user, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERYWHERE(cutting_the_end_does_not_undo_a_protection),
        EVERYWHERE(cutting_the_end_goes_on_beside_a_fault),
        EVERYWHERE(decommitting_does_not_lose_a_protection),
        EVERYWHERE(committing_does_not_lose_a_protection),
        EVERYWHERE(two_cpus_may_commit_the_same_pages),
        EVERYWHERE(what_pages_cannot_tell_does_not_matter),
        IN(start_kernel, a_range_that_gets_shorter_is_not_freed_with_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
