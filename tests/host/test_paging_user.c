/* Page tables: the kernel's half in every space, and copies of what a space has. */
#include "paging_owner.h"

#define WINDOW 0xffffc00000000000ull
#define DEVICE 0xffffe00000000000ull
#define USERS  2

/* 'space' is the kernel's. */
static struct space users[USERS];
static uint64_t kernel_tables;

static void window_is_empty(void)
{
    assert_int_equal(
        MM_OK, paging_set(&space, VA(WINDOW), (DEVICE - WINDOW) / PAGE_BYTES, KINDS_ALL, &nothing));
}

static int begin(void)
{
    space.hooks = &owner_hooks;
    space.kernel = true;
    map(WINDOW - GIB, 0x1000, 1, RW | PROT_GLOBAL);
    assert_int_equal(MM_OK, paging_seal(&space, VA(WINDOW), (DEVICE - WINDOW + TIB) / PAGE_BYTES));
    assert_true(paging_validate(&space));
    kernel_tables = space.ntables;
    for (unsigned i = 0; i < USERS; i++) {
        assert_int_equal(MM_OK, paging_create_user(&users[i], &space));
        users[i].hooks = &owner_hooks;
    }
    return 0;
}

static int start_users(void **state)
{
    start_owned(state);
    return begin();
}

static int start_users_5_levels(void **state)
{
    start_owned_5_levels(state);
    return begin();
}

static int stop_users(void **state)
{
    port_set_root(PA(0));
    paging_leave();
    for (unsigned i = 0; i < USERS; i++) {
        assert_true(paging_validate(&users[i]));
        paging_destroy(&users[i]);
    }
    for (uint64_t i = 0; i < OWNER_FRAMES; i++)
        assert_int_equal(0, owner.mappings[i]);
    return stop(state);
}

/* --- Sealing -------------------------------------------------------------- */

static void a_sealed_root_keeps_its_tables(void **state)
{
    (void)state;
    uint64_t root[256], *now = (uint64_t *)phys_to_virt(space.root) + 256;
    memcpy(root, now, sizeof root);
    map(WINDOW, 0, GIB / PAGE_BYTES, RW);
    unmap(WINDOW, GIB / PAGE_BYTES);
    map(WINDOW, 0, 3, RW);
    unmap(WINDOW, 3);
    assert_int_equal(kernel_tables, space.ntables);
    set(WINDOW + TIB, 2 * TIB / PAGE_BYTES, EMPTY, &guard); /* all of several tables */
    expect_state(WINDOW + 2 * TIB, &guard);
    const struct page_state other = {.kind = 6, .value = 3};
    set(WINDOW + TIB, 2 * TIB / PAGE_BYTES, KIND(5), &other);
    expect_state(WINDOW + 2 * TIB, &other);
    window_is_empty();
    assert_int_equal(ENTRY_EMPTY, look_at(WINDOW + 2 * TIB).kind);
    assert_int_equal(kernel_tables, space.ntables);
    assert_int_equal(MM_OK, paging_map(&space, VA(WINDOW + TIB - GIB), PA(0),
                                       (TIB + 2 * GIB) / PAGE_BYTES, RW, CACHE_WB));
    assert_true(paging_validate(&space));
    assert_int_equal(TIB + 5, look(WINDOW + 2 * TIB - GIB + 5).pa);
    unmap(WINDOW + TIB - GIB, (TIB + 2 * GIB) / PAGE_BYTES);
    assert_int_equal(kernel_tables, space.ntables);
    for (unsigned i = 0; i < 256; i++) /* but for what we count there */
        assert_int_equal(root[i] & ~(0x3ffull << 52), now[i] & ~(0x3ffull << 52) & ~0x200ull);
}

static void a_sealed_root_takes_no_more(void **state)
{
    (void)state;
    if (LEVELS == 5)
        return; /* one entry of the root has it all */
    uint64_t before = snapshot(), outside = WINDOW - 4 * TIB;
    assert_int_equal(MM_RANGE, paging_map(&space, VA(outside), PA(0), 1, RW, CACHE_WB));
    assert_int_equal(MM_RANGE, paging_set(&space, VA(outside), 1, EMPTY, &guard));
    assert_int_equal(MM_RANGE, paging_set(&space, VA(outside), TIB / PAGE_BYTES, EMPTY, &guard));
    assert_int_equal(MM_OK, paging_set(&space, VA(outside), TIB / PAGE_BYTES, EMPTY, &nothing));
    assert_int_equal(MM_RANGE, paging_seal(&space, VA(outside), 1));
    assert_int_equal(MM_OK, paging_seal(&space, VA(WINDOW), 1));
    assert_int_equal(before, snapshot());
    map(5 * TIB, 0, 1, RW); /* the other half is free */
    unmap(5 * TIB, 1);
    assert_int_equal(before, snapshot());
}

static void sealing_keeps_what_is_there(void **state)
{
    (void)state;
    struct space other;
    assert_int_equal(MM_OK, paging_create(&other));
    assert_int_equal(MM_OK, paging_set(&other, VA(WINDOW), 4 * TIB / PAGE_BYTES, EMPTY, &guard));
    assert_int_equal(MM_OK, paging_map(&other, VA(-HUGE_2M), PA(0), 512, RW, CACHE_WB));
    assert_int_equal(MM_RANGE, paging_seal(&other, VA(0), 1));
    assert_int_equal(MM_RANGE, paging_seal(&other, VA(LOW_END), 1));
    assert_int_equal(MM_INVAL, paging_seal(&other, VA(WINDOW), 0));
    uint64_t frames = machine_free_frames(), tables = other.ntables;
    unsigned k = 1;
    for (;; k++) {
        machine_fail_allocation(k);
        mm_status_t status = paging_seal(&other, VA(WINDOW + 6 * TIB), TIB / PAGE_BYTES);
        if (!machine_failed()) {
            assert_int_equal(MM_OK, status);
            break;
        }
        assert_int_equal(MM_NOMEM, status);
        assert_int_equal(frames, machine_free_frames());
        assert_int_equal(tables, other.ntables);
        assert_false(other.sealed);
        assert_true(paging_validate(&other));
    }
    assert_int_equal(LEVELS == 4 ? 8 + 2 : 0, other.ntables - tables);
    assert_true(LEVELS == 5 || k > 1);
    assert_true(paging_validate(&other));
    struct mapping m;
    assert_int_equal(MM_OK, paging_look(&other, VA(WINDOW + 2 * TIB), &m));
    assert_int_equal(5, m.kind);
    assert_int_equal(MM_OK, paging_query(&other, VA(-1), &m));
    paging_destroy(&other);
}

/* --- User spaces ------------------------------------------------------------ */

static void a_user_space_sees_the_kernels_half_and_leaves_it_alone(void **state)
{
    (void)state;
    struct space *user = &users[0];
    map(WINDOW, 0x7000, 1, RW | PROT_GLOBAL);
    assert_int_equal(0x7000, walk(user->root.v, WINDOW).pa);
    struct mapping m;
    assert_int_equal(MM_OK, paging_query(user, VA(WINDOW), &m));
    assert_int_equal(0x7000, m.pa.v);
    paddr_t pa;
    assert_int_equal(MM_OK, paging_translate(user, VA(WINDOW), &pa));
    assert_int_equal(0x7000, pa.v);
    assert_int_equal(MM_OK, paging_look(user, VA(WINDOW + PAGE_BYTES), &m));
    assert_int_equal(ENTRY_EMPTY, m.kind);

    vaddr_t va = VA(WINDOW + HUGE_2M), cursor = VA(0);
    uint64_t out;
    unsigned used;
    const struct mapping expected = {.kind = 1};
    assert_int_equal(MM_RANGE, paging_map(user, va, PA(0), 1, RW, CACHE_WB));
    assert_int_equal(MM_RANGE, paging_unmap(user, VA(WINDOW), 1));
    assert_int_equal(MM_RANGE, paging_protect(user, VA(WINDOW), 1, RW, CACHE_WB));
    assert_int_equal(MM_RANGE, paging_set_prot(user, va, 1, KINDS_ALL, RW));
    assert_int_equal(MM_RANGE, paging_set(user, va, 1, KINDS_ALL, &guard));
    assert_int_equal(MM_RANGE, paging_note(user, va, 1, KINDS_ALL, PROT_COPY, 0));
    assert_int_equal(MM_RANGE, paging_fill(user, va, 1, 1, 0, &PA(0), &out));
    assert_int_equal(MM_RANGE, paging_merge(user, va, 1, &out));
    assert_int_equal(MM_RANGE, paging_clear_used(user, va, 1, USED_DIRTY, &used));
    assert_int_equal(MM_RANGE, paging_exchange(user, va, PAGE_BYTES, &expected, PA(0), RW, CACHE_WB,
                                               NULL, NULL));
    assert_int_equal(MM_RANGE, paging_find_empty(user, va, VA(WINDOW + GIB), 1, 1, &cursor));
    assert_int_equal(MM_RANGE, paging_seal(user, va, 1));
    assert_int_equal(MM_NOTFOUND, paging_next(user, &cursor, &m));
    cursor = VA(HIGH);
    assert_int_equal(MM_NOTFOUND, paging_next_of(user, KINDS_ALL, &cursor, &m));
    assert_true(paging_validate(user));
    unmap(WINDOW, 1);
    assert_false(walk(user->root.v, WINDOW).present);
}

static void validation_sees_damage_of_the_shared_half(void **state)
{
    (void)state;
    uint64_t *own = (uint64_t *)phys_to_virt(users[0].root) + 511, before = *own;
    if (LEVELS == 4)
        own -= 511 - (WINDOW >> 39 & 511);
    before = *own;
    assert_true(before != 0);
    const uint64_t damage[] = {before, PAGE_BYTES, 1, 1ull << 52, 1ull << 62, 0x800};
    for (size_t i = 0; i < COUNT(damage); i++) {
        *own ^= damage[i];
        assert_false(paging_validate(&users[0]));
        *own = before;
        assert_true(paging_validate(&users[0]));
    }
    uint64_t *kernels =
        (uint64_t *)phys_to_virt(space.root) + (own - (uint64_t *)phys_to_virt(users[0].root));
    *kernels ^= 0x800; /* a table that could go */
    assert_false(paging_validate(&space));
    *kernels ^= 0x800;
}

static void only_the_kernels_half_has_global_pages(void **state)
{
    (void)state;
    const prot_t global = RW | PROT_GLOBAL;
    assert_int_equal(MM_DENIED, paging_map(&users[0], VA(GIB), PA(0), 1, global, CACHE_WB));
    assert_int_equal(MM_DENIED, paging_map(&space, VA(GIB), PA(0), 1, global, CACHE_WB));
    assert_int_equal(MM_DENIED, paging_set(&users[0], VA(GIB), 1, EMPTY,
                                           &(struct page_state){.kind = 1, .prot = global}));
    map(WINDOW, 0, 1, global);
    unmap(WINDOW, 1);
}

static uint64_t flushes_of(struct space *to)
{
    uint64_t before = cpus_get_counts().whole_flushes;
    paging_switch(to);
    assert_int_equal(to->root.v, port_get_root().v);
    return cpus_get_counts().whole_flushes - before;
}

static void a_switch_forgets_the_kernels_half_only_if_it_is_another(void **state)
{
    (void)state;
    struct space other;
    assert_int_equal(MM_OK, paging_create(&other));
    assert_int_equal(1, flushes_of(&space));
    assert_int_equal(0, flushes_of(&users[0]));
    assert_int_equal(0, flushes_of(&users[1]));
    assert_false(cpu_set_has(&users[0].cpus, 0));
    assert_true(cpu_set_has(&users[1].cpus, 0) && cpu_set_has(&space.cpus, 0));
    assert_int_equal(0, flushes_of(&space));
    assert_true(cpu_set_is_empty(&users[1].cpus));
    assert_int_equal(1, flushes_of(&other));
    assert_int_equal(1, flushes_of(&users[0]));
    paging_leave();
    assert_true(cpu_set_is_empty(&users[0].cpus) && cpu_set_is_empty(&space.cpus));
    assert_int_equal(1, flushes_of(&users[0])); /* without the kernel's own before */
    assert_true(cpu_set_has(&space.cpus, 0));
    paging_leave();
    port_set_root(PA(0));
    paging_destroy(&other);
}

static void creating_a_user_space_without_memory_fails_cleanly(void **state)
{
    (void)state;
    struct space other = {.ntables = 42};
    machine_fail_allocation(1);
    assert_int_equal(MM_NOMEM, paging_create_user(&other, &space));
    assert_true(machine_failed());
    assert_int_equal(42, other.ntables);
}

/* --- Copies ----------------------------------------------------------------- */

static void put(uint64_t va, uint64_t nframes, prot_t prot)
{
    uint64_t pa = (prot & PROT_OWNED) != 0 ? owner_take(nframes).v : va;
    assert_int_equal(MM_OK, paging_map(&users[0], VA(va), PA(pa), nframes, prot, CACHE_WB));
}

/* Small and large, owned and not, states at several levels, in several tables. */
static void fill_first(void)
{
    put(GIB - 5 * PAGE_BYTES, 10, OWNED | PROT_USER);
    put(GIB + HUGE_2M, 512, OWNED | PROT_USER);
    put(GIB + 2 * HUGE_2M, 3, PROT_READ | PROT_OWNED | PROT_LOCKED);
    put(2 * GIB, 700, RW);
    assert_int_equal(MM_OK, paging_set(&users[0], VA(3 * GIB), GIB / PAGE_BYTES + 5, EMPTY, &lazy));
    assert_int_equal(MM_OK,
                     paging_set(&users[0], VA(LOW_END - TIB), TIB / PAGE_BYTES, EMPTY, &guard));
    put(7 * TIB, 1, OWNED);
}

static struct mapping look_in(struct space *s, uint64_t va)
{
    struct mapping m;
    assert_int_equal(MM_OK, paging_look(s, VA(va), &m));
    return m;
}

static void expect_same(struct space *a, struct space *b)
{
    uint64_t va = 0;
    while (va < LOW_END) {
        struct mapping x = look_in(a, va), y = look_in(b, va);
        assert_int_equal(x.bytes, y.bytes);
        assert_int_equal(x.kind, y.kind);
        assert_int_equal(x.value, y.value);
        assert_int_equal(x.pa.v, y.pa.v);
        assert_int_equal(x.prot, y.prot);
        assert_int_equal(x.cache, y.cache);
        va += x.bytes;
    }
}

static void a_copy_shares_what_is_owned(void **state)
{
    (void)state;
    fill_first();
    assert_int_equal(MM_OK, paging_clone(&users[0], &users[1]));
    assert_true(paging_validate(&users[0]) && paging_validate(&users[1]));
    expect_same(&users[0], &users[1]);
    assert_int_equal(users[0].ntables, users[1].ntables);
    assert_int_equal(10 + 512 + 3 + 1, owner.shared);
    for (unsigned i = 0; i < USERS; i++) {
        struct walk w = walk(users[i].root.v, GIB);
        assert_true(w.present && w.user && !w.write);
        assert_int_equal(OWNED | PROT_USER | PROT_COPY, look_in(&users[i], GIB).prot);
        assert_false(walk(users[i].root.v, GIB + HUGE_2M).write);
        assert_int_equal(PROT_READ | PROT_OWNED | PROT_LOCKED | PROT_COPY,
                         look_in(&users[i], GIB + 2 * HUGE_2M).prot);
        assert_true(walk(users[i].root.v, 2 * GIB).write); /* others' */
    }
    assert_int_equal(MM_OK, paging_unmap(&users[0], VA(GIB + HUGE_2M + PAGE_BYTES), 1));
    assert_int_equal(12, walk(users[0].root.v, GIB + HUGE_2M).shift);
    assert_int_equal(21, walk(users[1].root.v, GIB + HUGE_2M).shift);
    assert_int_equal(MM_INVAL, paging_clone(&users[0], &users[1])); /* it is not empty */
    assert_int_equal(MM_INVAL, paging_clone(&users[0], &users[0]));
    assert_int_equal(MM_INVAL, paging_clone(&users[0], &space));
    assert_int_equal(MM_INVAL, paging_clone(&space, &users[0]));
}

static unsigned shootdowns;
static bool was_whole;

static void count_shootdowns(const struct tlb_batch *batch)
{
    shootdowns++;
    was_whole = batch->whole;
}

static void a_copy_takes_one_shootdown(void **state)
{
    (void)state;
    paging_switch(&users[0]);
    machine.on_shootdown = count_shootdowns;
    put(GIB, 1, OWNED);
    put(2 * GIB, 1, PROT_READ | PROT_OWNED);
    shootdowns = 0;
    assert_int_equal(MM_OK, paging_clone(&users[0], &users[1]));
    assert_int_equal(1, shootdowns);
    assert_false(was_whole); /* one page was writable */
    machine.on_shootdown = NULL;
    port_set_root(PA(0));
    paging_leave();
    paging_destroy(&users[1]);
    assert_int_equal(MM_OK, paging_create_user(&users[1], &space));
    users[1].hooks = &owner_hooks;
    paging_switch(&users[0]);
    machine.on_shootdown = count_shootdowns;
    shootdowns = 0;
    assert_int_equal(MM_OK, paging_clone(&users[0], &users[1]));
    assert_int_equal(0, shootdowns); /* they were shared already */
    machine.on_shootdown = NULL;
}

static void a_copy_of_nothing_is_nothing(void **state)
{
    (void)state;
    assert_int_equal(MM_OK, paging_clone(&users[0], &users[1]));
    assert_int_equal(1, users[1].ntables);
}

static uint64_t hash(void)
{
    uint64_t n, all = machine_free_frames() + owner.shared;
    for (unsigned i = 0; i < USERS; i++)
        all = all * 31 + walk_hash(users[i].root.v, &n);
    for (uint64_t i = 0; i < OWNER_FRAMES; i++)
        all = all * 31 + owner.mappings[i];
    return all;
}

static void a_copy_that_fails_changes_nothing(void **state)
{
    (void)state;
    fill_first();
    unsigned k = 1;
    for (;; k++) { /* no frame for a table */
        uint64_t before = hash();
        machine_fail_allocation(k);
        mm_status_t status = paging_clone(&users[0], &users[1]);
        if (!machine_failed())
            break;
        assert_int_equal(MM_NOMEM, status);
        assert_int_equal(before, hash());
    }
    assert_true(k > 1);
    expect_same(&users[0], &users[1]);
    paging_destroy(&users[1]);
    assert_int_equal(MM_OK, paging_create_user(&users[1], &space));
    users[1].hooks = &owner_hooks;
    for (k = 1;; k++) { /* the hooks refuse */
        owner.shared = 0;
        uint64_t before = hash();
        owner.shares = 0;
        owner.fail_share = k;
        mm_status_t status = paging_clone(&users[0], &users[1]);
        if (status == MM_OK)
            break;
        assert_int_equal(MM_NOMEM, status);
        owner.shared = 0;
        assert_int_equal(before, hash());
        assert_true(paging_validate(&users[0]) && paging_validate(&users[1]));
    }
    assert_true(k > 3);
    owner.fail_share = 0;
    expect_same(&users[0], &users[1]);
}

#define USER_TEST(name) TEST_ON_4_AND_5_LEVELS(name, start_users, stop_users)

int main(void)
{
    const struct CMUnitTest tests[] = {
        USER_TEST(a_sealed_root_keeps_its_tables),
        USER_TEST(a_sealed_root_takes_no_more),
        USER_TEST(sealing_keeps_what_is_there),
        USER_TEST(a_user_space_sees_the_kernels_half_and_leaves_it_alone),
        USER_TEST(validation_sees_damage_of_the_shared_half),
        USER_TEST(only_the_kernels_half_has_global_pages),
        USER_TEST(a_switch_forgets_the_kernels_half_only_if_it_is_another),
        USER_TEST(creating_a_user_space_without_memory_fails_cleanly),
        USER_TEST(a_copy_shares_what_is_owned),
        USER_TEST(a_copy_takes_one_shootdown),
        USER_TEST(a_copy_of_nothing_is_nothing),
        USER_TEST(a_copy_that_fails_changes_nothing),
    };
    return cmocka_run_group_tests_name("paging: user spaces", tests, NULL, NULL);
}
