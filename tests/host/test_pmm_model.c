/* The frame allocator against a plain array, on random memory maps, with several CPUs that take
 * turns. QL_SEED repeats a run; QL_STEPS makes it longer. */
#include "maps/random.h"
#include "mm/cpu.h"
#include "pmm_model.h"
#include "pmm_rig.h"

#ifdef QL_DEBUG
#define STEPS 8000 /* for each map; the sanitizers and the poison are slow */
#else
#define STEPS 80000
#endif
#define MAPS 4 /* of each kind */

#define CPUS 6
#define FAR  (PADDR_LIMIT - FRAME_BYTES) /* where no RAM is */

/* The run on one map. */
static struct {
    struct rng rng;
    struct model model;
    struct mm_cpu *shares[CPUS];
    unsigned ncpus, zones;
    bool careful; /* validate after every step */
    bool reclaimed, divided;
    size_t nbad, bad_capacity;
    uint64_t tried, extended; /* runs, where they were */
    unsigned fill;            /* per cent of memory that is used, to be aimed at */
} run;

static struct random_map map;
static struct model *const m = &run.model;

static uint64_t below(uint64_t limit)
{
    return rng_below(&run.rng, limit);
}

static bool one_in(uint64_t n)
{
    return below(n) == 0;
}

/* Searching the whole array takes long where it is large. */
static bool may_search(void)
{
    return model_size(m) <= 4096 || one_in(model_size(m) / 4096 * 4);
}

/* A frame near memory, perhaps of none. */
static uint64_t random_index(void)
{
    return below(model_size(m));
}

/* --- Allocating --------------------------------------------------------------- */

static struct pmm_limits random_limits(void)
{
    struct pmm_limits l = {.kind = (enum pmm_kind)one_in(3)};
    if (one_in(2))
        return l;
    if (one_in(3))
        l.align_frames = 1ull << below(one_in(8) ? 14 : 10);
    if (one_in(3))
        l.min_addr = pa_add(model_address(m, random_index()), below(2) * below(FRAME_BYTES));
    if (one_in(3))
        l.max_addr = pa_add(model_address(m, random_index()), below(2) * below(FRAME_BYTES));
    if (one_in(3)) {
        l.node_rule = (enum pmm_node_rule)below(3);
        l.node = (uint32_t)below(5);
    }
    if (one_in(200))
        l.min_addr = PA(one_in(2) ? UINT64_MAX - below(FRAME_BYTES) : PADDR_LIMIT);
    l.zeroed = one_in(16);
    return l;
}

static struct model_wish wish_for(uint64_t n, const struct pmm_limits *l)
{
    bool far = l->min_addr.v > PADDR_LIMIT;
    return (struct model_wish){
        .n = n,
        .align = l->align_frames == 0 ? 1 : l->align_frames,
        .low = far ? PADDR_LIMIT / FRAME_BYTES : bytes_to_frames(l->min_addr.v),
        .high = l->max_addr.v != 0 ? l->max_addr.v / FRAME_BYTES : PADDR_LIMIT / FRAME_BYTES,
        .rule = l->node_rule,
        .node = l->node,
    };
}

static void check_zeroed(paddr_t pa, uint64_t n)
{
    const uint64_t *words = phys_to_virt(pa);
    for (uint64_t i = 0; i < n * FRAME_BYTES / sizeof *words; i++)
        assert_int_equal(0, words[i]);
}

/* A run that was given is as wished, and on the preferred node if there was one at hand. */
static void take(paddr_t pa, const struct pmm_limits *l, const struct model_wish *wish,
                 bool at_hand)
{
    uint64_t i;
    assert_true(pa_aligned(pa, FRAME_BYTES));
    assert_true(model_find(m, pa.v / FRAME_BYTES, &i));
    if (!model_fits(m, i, wish))
        fail_msg("0x%lx is no place for %lu frames aligned to %lu of frames [0x%lx, 0x%lx)", pa.v,
                 wish->n, wish->align, wish->low, wish->high);
    struct model_wish required = *wish;
    required.rule = PMM_NODE_REQUIRED;
    if (at_hand && wish->rule == PMM_NODE_PREFERRED && !model_fits(m, i, &required) && may_search())
        assert_false(model_must_find(m, &required));
    model_set(m, i, wish->n, MODEL_USED);
    if (l != NULL && l->zeroed)
        check_zeroed(pa, wish->n);
}

static void refuse(mm_status_t status, const struct model_wish *wish)
{
    assert_int_equal(MM_NOMEM, status);
    if (may_search() && model_must_find(m, wish))
        fail_msg("there are %lu frames aligned to %lu of frames [0x%lx, 0x%lx), node %u (rule %d)",
                 wish->n, wish->align, wish->low, wish->high, wish->node, wish->rule);
}

static void step_alloc_frame(void)
{
    const struct pmm_limits none = {0};
    struct model_wish wish = wish_for(1, &none);
    paddr_t pa = PA(0xdead);
    mm_status_t status = pmm_alloc_frame(&pa);
    assert_int_equal(m->counts[MODEL_FREE] > 0 ? MM_OK : MM_NOMEM, status);
    if (status == MM_OK)
        take(pa, NULL, &wish, false);
    else
        assert_int_equal(0xdead, pa.v);
}

static void step_alloc_run(void)
{
    struct pmm_limits l = random_limits();
    paddr_t pa = PA(0xdead);
    uint64_t n = one_in(3) ? 1 : rng_size(&run.rng, one_in(8) ? 3000 : 520);
    unsigned order = (unsigned)below(one_in(8) ? 13 : 10);
    bool by_order = one_in(2);
    struct model_wish wish = wish_for(by_order ? 1ull << order : n, &l);
    if (by_order && wish.align < wish.n)
        wish.align = wish.n;
    bool plain = l.align_frames == 0 && l.min_addr.v == 0 && l.max_addr.v == 0 && !l.zeroed &&
                 l.node_rule == PMM_NODE_ANY && l.kind == PMM_SHORT;
    const struct pmm_limits *limits = plain ? NULL : &l;
    bool drained = l.node_rule == PMM_NODE_PREFERRED && one_in(4);
    if (drained)
        pmm_drain();
    mm_status_t status =
        by_order ? pmm_alloc_order(order, limits, &pa) : pmm_alloc_frames(n, limits, &pa);
    if (status == MM_OK)
        take(pa, &l, &wish, drained);
    else
        refuse(status, &wish);
    assert_true(status == MM_OK || pa.v == 0xdead);
}

static uint64_t count_fitting(const struct model_wish *wish)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < model_size(m); i++)
        count += m->frames[i] == MODEL_FREE && model_fits(m, i, wish);
    return count;
}

static void step_alloc_batch(void)
{
    static paddr_t frames[3000];
    struct pmm_limits l = random_limits();
    l.align_frames = 0;
    struct model_wish wish = wish_for(1, &l);
    size_t n = one_in(8) ? below(COUNT(frames)) : below(40);
    mm_status_t status = pmm_alloc_batch(n, &l, frames);
    for (size_t i = 0; i < n && status == MM_OK; i++)
        take(frames[i], &l, &wish, false);
    if (status != MM_OK) {
        assert_int_equal(MM_NOMEM, status);
        if (may_search())
            assert_true(count_fitting(&wish) < n);
    }
}

/* --- Freeing ------------------------------------------------------------------- */

/* What the model makes of a free that is allowed. */
static void give(uint64_t i, uint64_t n)
{
    for (uint64_t end = i + n; i < end; i++)
        model_set(m, i, 1, m->bad[i] ? MODEL_RETIRED : MODEL_FREE);
}

static bool find_used(uint64_t *i)
{
    for (unsigned tries = 0; tries < 16; tries++) {
        *i = random_index();
        if (m->frames[*i] == MODEL_USED)
            return true;
    }
    return false;
}

static void step_free(void)
{
    uint64_t i, n;
    if (!find_used(&i))
        return;
    n = model_run(m, i, one_in(16) ? 3000 : rng_size(&run.rng, 64), MODEL_USED);
    paddr_t pa = model_address(m, i);
    unsigned order = 63 - (unsigned)__builtin_clzll(n);
    order = i == 0 || (unsigned)__builtin_ctzll(i) > order ? order : (unsigned)__builtin_ctzll(i);
    switch (below(4)) {
    case 0:
        n = 1;
        assert_int_equal(MM_OK, pmm_free_frame(pa));
        break;
    case 1:
        order = order < PMM_ORDER_BLOCK ? order : PMM_ORDER_BLOCK; /* as aligned as the index is */
        n = 1ull << order;
        assert_int_equal(MM_OK, pmm_free_order(pa, order));
        break;
    case 2:
        assert_int_equal(MM_OK, pmm_mark_free(pa, n));
        break;
    default:
        assert_int_equal(MM_OK, pmm_free_frames(pa, n));
    }
    give(i, n);
}

/* Each for itself: those that are no longer used, or never were, are misuse. */
static void step_free_batch(void)
{
    paddr_t frames[40];
    unsigned wrong = 0;
    size_t n = below(COUNT(frames) + 1);
    for (size_t k = 0; k < n; k++) {
        uint64_t i;
        if (!find_used(&i) || one_in(64))
            i = random_index();
        frames[k] = model_address(m, i);
        if (m->frames[i] == MODEL_USED)
            give(i, 1);
        else if (m->frames[i] == MODEL_OWN)
            n = k;
        else
            wrong++;
    }
    assert_int_equal(wrong == 0 ? MM_OK : MM_INVAL, pmm_free_batch(frames, n));
    assert_int_equal(wrong, machine.misuses);
    machine.misuses = 0;
}

/* Anything anywhere: it is allowed if all the frames are in use, and else changes nothing. */
static void step_free_anything(void)
{
    uint64_t i = random_index(), n = one_in(2) ? 1 : rng_size(&run.rng, 1500);
    bool allowed = i + n <= model_size(m) && model_run(m, i, n, MODEL_USED) == n;
    for (uint64_t k = i; k < i + n && k < model_size(m); k++)
        if (m->frames[k] == MODEL_OWN)
            return;
    paddr_t pa = model_address(m, i);
    if (one_in(16)) {
        pa = one_in(2) ? pa_add(pa, 1 + below(FRAME_BYTES - 1)) : PA(FAR);
        allowed = false;
    }
    if (one_in(32)) {
        n = one_in(2) ? 0 : UINT64_MAX - below(1000);
        allowed = false;
    }
    mm_status_t status = n == 1 ? pmm_free_frame(pa) : pmm_free_frames(pa, n);
    assert_int_equal(allowed ? MM_OK : MM_INVAL, status);
    if (allowed)
        give(i, n);
    else
        assert_misuse("pmm: ");
}

/* --- Particular frames ----------------------------------------------------------- */

static mm_status_t mark_status(uint64_t i, uint64_t n)
{
    mm_status_t status = MM_OK;
    for (uint64_t k = i; k < i + n; k++) {
        if (k >= model_size(m) || !model_is_range(m, i, k + 1 - i) || m->frames[k] == MODEL_HOLE)
            return MM_NOTFOUND;
        if (m->zones[k / MODEL_BLOCK] != m->zones[i / MODEL_BLOCK])
            return MM_INVAL;
        if (m->frames[k] != MODEL_FREE)
            status = MM_EXISTS;
    }
    return status;
}

static void step_mark_used(void)
{
    uint64_t i = random_index(), n = rng_size(&run.rng, one_in(8) ? 1500 : 16);
    mm_status_t want = mark_status(i, n);
    assert_int_equal(want, pmm_mark_used(model_address(m, i), n));
    if (want == MM_OK)
        model_set(m, i, n, MODEL_USED);
}

/* It may say no; then nothing has changed. Right behind what is used, as a rule. */
static void step_try_mark_used(void)
{
    uint64_t i = random_index(), n = rng_size(&run.rng, 40);
    for (unsigned k = 0; k < 600 && i + 1 < model_size(m); k++, i++)
        if (m->frames[i] == MODEL_FREE && i > 0 && m->frames[i - 1] != MODEL_FREE)
            break;
    bool one_block = model_address(m, i).v / FRAME_BYTES % MODEL_BLOCK + n <= MODEL_BLOCK;
    mm_status_t status = pmm_try_mark_used(model_address(m, i), n);
    if (!one_block)
        assert_int_equal(MM_INVAL, status);
    else if (status == MM_OK)
        assert_int_equal(MM_OK, mark_status(i, n));
    else
        assert_int_equal(MM_EXISTS, status);
    if (status == MM_OK)
        model_set(m, i, n, MODEL_USED);
    run.tried++;
    run.extended += status == MM_OK;
}

/* The list of bad frames grows when it is full, whatever the frame. */
static bool bad_list_has_room(void)
{
    if (run.nbad < run.bad_capacity)
        return true;
    size_t capacity = run.bad_capacity == 0 ? 256 : 2 * run.bad_capacity;
    struct model_wish wish = {capacity / 256, 1, 0, PADDR_LIMIT / FRAME_BYTES, PMM_NODE_ANY, 0};
    mm_status_t status = pmm_retire_frame(PA(FAR));
    if (status != MM_NOTFOUND) {
        refuse(status, &wish);
        return false;
    }
    run.bad_capacity = capacity;
    model_adopt(m);
    return true;
}

static void step_retire(void)
{
    uint64_t i = random_index();
    if (m->frames[i] == MODEL_OWN || run.nbad > model_size(m) / 16 || !bad_list_has_room())
        return;
    assert_int_equal(MM_INVAL, pmm_retire_frame(pa_add(model_address(m, i), 8)));
    mm_status_t want = m->frames[i] == MODEL_HOLE ? MM_NOTFOUND : m->bad[i] ? MM_EXISTS : MM_OK;
    assert_int_equal(want, pmm_retire_frame(model_address(m, i)));
    if (want != MM_OK)
        return;
    run.nbad++;
    m->bad[i] = true;
    if (m->frames[i] == MODEL_FREE)
        model_set(m, i, 1, MODEL_RETIRED);
}

static void step_reclaim(void)
{
    uint64_t before = m->counts[MODEL_FREE];
    if (!run.reclaimed)
        for (uint64_t i = 0; i < model_size(m); i++)
            if (m->frames[i] == MODEL_BOOT)
                give(i, 1);
    assert_int_equal(m->counts[MODEL_FREE] - before, pmm_reclaim());
    if (run.reclaimed)
        assert_misuse("reclaimed already");
    run.reclaimed = true;
}

static void step_add_range(void)
{
    size_t i = below(map.nlater);
    uint64_t nframes = map.later[i].bytes / FRAME_BYTES, index;
    paddr_t base = map.later[i].base;
    if (one_in(4)) {
        assert_int_equal(MM_INVAL, pmm_add_range(base, 0));
        assert_int_equal(MM_INVAL, pmm_add_range(pa_add(base, 1), nframes));
        assert_int_equal(MM_RANGE, pmm_add_range(PA(FAR), 2));
        assert_int_equal(MM_RANGE, pmm_add_range(base, UINT64_MAX / FRAME_BYTES));
    }
    assert_true(model_find(m, base.v / FRAME_BYTES, &index));
    mm_status_t want = nframes < 2 || run.zones == CONFIG_PMM_ZONES_MAX ? MM_NOMEM : MM_OK;
    if (m->frames[index] != MODEL_HOLE)
        want = MM_EXISTS;
    assert_int_equal(want, pmm_add_range(base, nframes));
    if (want == MM_OK)
        model_add(m, base.v / FRAME_BYTES, nframes, run.zones++);
}

/* Pieces between random frames; the middle ones meet, so that some blocks have several nodes. */
static void step_set_nodes(void)
{
    struct mem_node nodes[4];
    uint64_t at = below(model_size(m) / 2);
    size_t n = 0;
    while (n < COUNT(nodes)) {
        uint64_t next = at + 1 + below(model_size(m) / 3 + 1);
        if (next >= model_size(m))
            break;
        paddr_t base = model_address(m, at);
        uint64_t bytes = pa_diff(base, model_address(m, next));
        nodes[n] = (struct mem_node){base, bytes, (uint32_t)below(4)};
        n++;
        at = next;
    }
    mm_status_t status = pmm_set_nodes(nodes, n);
    if (status != MM_OK) {
        assert_int_equal(m->counts[MODEL_FREE] == 0 ? MM_NOMEM : MM_EXISTS, status);
        assert_true(m->counts[MODEL_FREE] == 0 || run.divided);
        return;
    }
    assert_false(run.divided);
    run.divided = true;
    m->metadata++;
    model_adopt(m);
    for (uint64_t i = 0; i < model_size(m); i++)
        for (size_t k = 0; k < n; k++)
            if (pa_le(nodes[k].base, model_address(m, i)) &&
                pa_diff(nodes[k].base, model_address(m, i)) < nodes[k].bytes)
                m->nodes[i] = (unsigned char)nodes[k].node;
}

/* --- Turns ------------------------------------------------------------------------ */

static void step_seldom(void)
{
    switch (below(12)) {
    case 0:
        if (one_in(3))
            step_reclaim();
        break;
    case 1:
        step_add_range();
        break;
    case 2:
        step_set_nodes();
        break;
    case 3:
        step_retire();
        break;
    case 4:
        pmm_drain();
        break;
    case 5:
        assert_true(pmm_validate());
        break;
    case 6:
        model_compare_orders(m, one_in(2) ? PMM_ALL_NODES : (uint32_t)below(5));
        break;
    case 7:
        model_compare_walk(m);
        break;
    default:
        step_mark_used();
    }
}

static void step(void)
{
    uint64_t total = model_size(m) - m->counts[MODEL_HOLE];
    bool fill = (total - m->counts[MODEL_FREE]) * 100 < total * run.fill;
    uint64_t action = below(100);
    if (action < 70)
        fill = action < 60 ? fill : !fill;
    if (one_in(5)) {
        port_set_mm_cpu(run.shares[below(run.ncpus)]);
    }
    if (one_in(run.careful ? 20 : 500))
        step_seldom();
    else if (action >= 98)
        step_try_mark_used();
    else if (action >= 90)
        step_free_anything();
    else if (fill)
        action % 8 == 0 ? step_alloc_batch() : action % 2 ? step_alloc_frame() : step_alloc_run();
    else
        action % 8 == 0 ? step_free_batch() : step_free();
}

static void start_random(enum map_kind kind)
{
    static struct mem_region all[RANDOM_MAP_CAPACITY + RANDOM_MAP_LATER];
    random_map(kind, &run.rng, &map);
    memcpy(all, map.regions, map.n * sizeof *all);
    memcpy(all + map.n, map.later, map.nlater * sizeof *all);
    machine_start(all, map.n + map.nlater);
    assert_int_equal(MM_OK, pmm_init(map.regions, map.n));
    assert_true(pmm_validate());
    model_start(m, map.regions, map.n, all, map.n + map.nlater);
    run.ncpus = 0;
    unsigned wanted = (unsigned)rng_between(&run.rng, 1, CPUS);
    while (run.ncpus < wanted && mm_cpu_create(run.ncpus, &run.shares[run.ncpus]) == MM_OK)
        run.ncpus++;
    model_adopt(m);
    run.zones = 1;
    run.reclaimed = run.divided = false;
    run.nbad = run.bad_capacity = 0;
    run.fill = 50;
}

static void use_at_random(enum map_kind kind, bool careful, uint64_t steps)
{
    static const unsigned fills[] = {0, 5, 50, 90, 99, 100};
    run.careful = careful;
    start_random(kind);
    model_compare(m);
    for (uint64_t i = 0; i < steps; i++) {
        if (one_in(2000))
            run.fill = fills[below(COUNT(fills))];
        step();
        if (careful)
            assert_true(pmm_validate());
        if (i % (careful ? 16 : 1024) == 0)
            model_compare_counts(m);
        if (i % (careful ? 256 : 16384) == 0)
            model_compare(m);
    }
    model_compare(m);
    assert_true(pmm_validate());
    model_compare(m);
    model_stop(m);
    machine_stop();
}

static void use_kind(enum map_kind kind)
{
    const char *given = getenv("QL_STEPS");
    uint64_t steps = given != NULL ? strtoull(given, NULL, 0) : STEPS;
    run.rng = rng_start();
    run.tried = run.extended = 0;
    for (unsigned i = 0; i < MAPS; i++) {
        bool careful = kind == MAP_TINY && i % 2 == 0;
        use_at_random(kind, careful, careful ? steps / 8 : steps);
    }
    print_message("             %lu of %lu runs grew in place\n", run.extended, run.tried);
    assert_true(kind == MAP_TINY || run.extended > 0);
}

static void tiny_machines_match_an_array(void **state)
{
    (void)state;
    use_kind(MAP_TINY);
}

static void ragged_memory_matches_an_array(void **state)
{
    (void)state;
    use_kind(MAP_RAGGED);
}

static void thousands_of_regions_match_an_array(void **state)
{
    (void)state;
    use_kind(MAP_SPARSE);
}

static void holes_of_tebibytes_match_an_array(void **state)
{
    (void)state;
    use_kind(MAP_TIBS);
}

static void memory_across_16_mib_and_4_gib_matches_an_array(void **state)
{
    (void)state;
    use_kind(MAP_BORDERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_machines_match_an_array),
        cmocka_unit_test(ragged_memory_matches_an_array),
        cmocka_unit_test(thousands_of_regions_match_an_array),
        cmocka_unit_test(holes_of_tebibytes_match_an_array),
        cmocka_unit_test(memory_across_16_mib_and_4_gib_matches_an_array),
    };
    return cmocka_run_group_tests_name("pmm model", tests, NULL, NULL);
}
