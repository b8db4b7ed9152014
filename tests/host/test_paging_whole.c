/* All that page tables keep, in two user spaces, under random changes: against plain arrays of pages, and
 * against what a CPU reads and writes by way of its TLB. */
#define RIG_RAM (32 * MIB)

#include "cpus.h"
#include "paging_owner.h"

#define WINDOW   0xffffc00000000000ull
#define SPACES   2
#define PLAIN    2048 /* frames of a device: several pages may have one */
#define USER     PROT_USER
#define ACCESSES 16

struct page {
    unsigned kind;
    uint64_t pa, value;
    prot_t prot;
    cache_t cache;
};

static struct model {
    struct space space;
    struct page *pages;
} models[SPACES];
static uint64_t base, npages;
static paddr_t plain;
static bool huge; /* a range of GiBs: what takes frames for each page stays small */

/* --- The pages as they ought to be ------------------------------------------ */

static uint64_t va_of_page(uint64_t i)
{
    return base + i * PAGE_BYTES;
}

static bool can_write(const struct page *p)
{
    return p->kind == ENTRY_PAGE && (p->prot & PROT_WRITE) != 0 && (p->prot & PROT_COPY) == 0;
}

/* Each frame's first word tells which it is; what is released says so before it is anybody's. */
static uint64_t *word(uint64_t pa)
{
    return phys_to_virt(PA(pa));
}

static void check_page(const struct model *m, uint64_t i)
{
    const struct page *p = &m->pages[i];
    struct walk w = walk(m->space.root.v, va_of_page(i));
    struct mapping seen;
    assert_int_equal(MM_OK, paging_look((struct space *)&m->space, VA(va_of_page(i)), &seen));
    assert_int_equal(p->kind, seen.kind);
    assert_int_equal(p->kind == ENTRY_PAGE, w.present);
    if (p->kind == ENTRY_EMPTY)
        return;
    assert_int_equal(p->prot, seen.prot);
    assert_int_equal(p->cache, seen.cache);
    if (!w.present) {
        assert_int_equal(p->value, seen.value);
        return;
    }
    assert_int_equal(p->pa, w.pa);
    assert_int_equal(p->cache, w.pat);
    assert_int_equal(can_write(p), w.write);
    assert_int_equal((p->prot & PROT_EXEC) != 0, w.exec);
    assert_int_equal((p->prot & PROT_USER) != 0, w.user);
}

static void check(const struct model *m, uint64_t first, uint64_t n, uint64_t step)
{
    for (uint64_t i = 0; i < npages; i += step)
        check_page(m, i);
    for (uint64_t i = first < 3 ? 0 : first - 3; i < first + 3 && i < npages; i++)
        check_page(m, i);
    for (uint64_t i = first + n < 3 ? 0 : first + n - 3; i < first + n + 3 && i < npages; i++)
        check_page(m, i);
}

/* Runs cover what is there, and nothing else. */
static void check_runs(const struct model *m)
{
    vaddr_t cursor = VA(0);
    struct mapping run;
    uint64_t i = 0;
    while (paging_next_of((struct space *)&m->space, KINDS_ALL, &cursor, &run) == MM_OK) {
        for (; va_of_page(i) < run.va.v; i++)
            assert_int_equal(ENTRY_EMPTY, m->pages[i].kind);
        for (uint64_t from = i; i < from + run.bytes / PAGE_BYTES; i++) {
            const struct page *p = &m->pages[i];
            assert_int_equal(p->kind, run.kind);
            assert_int_equal(p->prot, run.prot);
            if (p->kind == ENTRY_PAGE)
                assert_int_equal(p->pa, run.pa.v + (i - from) * PAGE_BYTES);
        }
    }
    for (; i < npages; i++)
        assert_int_equal(ENTRY_EMPTY, m->pages[i].kind);
}

/* The first pages that are empty, as one finds them by looking at each. */
static void check_find(const struct model *m, struct rng *rng)
{
    uint64_t from = rng_below(rng, npages), limit = rng_between(rng, from + 1, npages);
    uint64_t n = rng_size(rng, 600), align = 1ull << rng_below(rng, 11), start = from, found = 0;
    while (va_of_page(start) % (align * PAGE_BYTES) != 0)
        start++;
    for (uint64_t i = start; i < limit && found < n; i++) {
        found = i < start ? 0 : m->pages[i].kind == ENTRY_EMPTY ? i - start + 1 : 0;
        if (found == 0 && i >= start)
            for (start = i + 1; va_of_page(start) % (align * PAGE_BYTES) != 0;)
                start++;
    }
    vaddr_t va = VA(77);
    mm_status_t status = paging_find_empty((struct space *)&m->space, VA(va_of_page(from)),
                                           VA(va_of_page(limit)), n, align, &va);
    assert_int_equal(found == n ? MM_OK : MM_NOTFOUND, status);
    assert_int_equal(found == n ? va_of_page(start) : 77, va.v);
}

/* What the CPU does, in the space that it has loaded, is what the pages say. */
static void use(const struct model *m, struct rng *rng)
{
    for (unsigned n = 0; n < ACCESSES; n++) {
        uint64_t i = rng_below(rng, npages), value = 0, written = rng_next(rng);
        const struct page *p = &m->pages[i];
        assert_int_equal(p->kind == ENTRY_PAGE, cpu_read(va_of_page(i), &value));
        assert_int_equal(can_write(p), cpu_write(va_of_page(i) + 8, written));
        if (p->kind != ENTRY_PAGE)
            continue;
        assert_int_equal(p->pa, value);
        assert_int_equal(can_write(p), word(p->pa)[1] == written);
    }
}

/* --- Frames ----------------------------------------------------------------- */

static void poison_and_release(paddr_t first, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        word(first.v + i * PAGE_BYTES)[0] ^= 1; /* who reads it now does so too late */
    owner_release(first, n);
    for (uint64_t i = 0; i < n; i++)
        if (owner_has(pa_add(first, i * PAGE_BYTES)))
            word(first.v + i * PAGE_BYTES)[0] ^= 1;
}

static const struct frame_hooks hooks = {owner_share, poison_and_release};

static uint64_t take(uint64_t n)
{
    paddr_t first = owner_take(n);
    for (uint64_t i = 0; i < n; i++)
        word(first.v + i * PAGE_BYTES)[0] = first.v + i * PAGE_BYTES;
    return first.v;
}

/* The page is aligned for a large one, and there are frames for it. */
static bool can_be_large(struct rng *rng, uint64_t first)
{
    const struct pmm_limits limits = {.align_frames = 512};
    paddr_t frames;
    if (va_of_page(first) % HUGE_2M != 0 || npages - first < 512 || rng_below(rng, 2) == 0 ||
        pmm_alloc_frames(512, &limits, &frames) != MM_OK)
        return false;
    assert_int_equal(MM_OK, pmm_free_frames(frames, 512));
    return true;
}

/* Every owned page of every space is a mapping that the owner knows of. */
static void check_owner(void)
{
    static unsigned want[OWNER_FRAMES];
    memset(want, 0, sizeof want);
    for (unsigned s = 0; s < SPACES; s++)
        for (uint64_t i = 0; i < npages; i++)
            if (models[s].pages[i].kind == ENTRY_PAGE && (models[s].pages[i].prot & PROT_OWNED))
                want[owner_index(PA(models[s].pages[i].pa))]++;
    for (uint64_t i = 0; i < OWNER_FRAMES; i++)
        assert_int_equal(want[i], owner.mappings[i]);
}

/* --- Steps -------------------------------------------------------------------- */

enum what {
    MAP,
    MAP_OWNED,
    UNMAP,
    PROTECT,
    SET_PROT,
    NOTE,
    SET,
    EXCHANGE,
    FILL,
    MERGE,
    KINDS_OF_STEP
};

struct step {
    enum what what;
    uint64_t first, n;
    uint64_t pa;
    prot_t prot, clear;
    cache_t cache;
    unsigned kinds;
    struct page_state state;
    struct mapping expected;
    paddr_t frames[512];
    uint64_t used;
};

static const prot_t prots[] = {PROT_READ, RW, RX, RW | USER, PROT_READ | USER, RX | USER};

/* Often ends at the borders of larger entries. */
static void random_range(struct rng *rng, struct step *s)
{
    s->first = rng_below(rng, npages);
    if (huge && rng_below(rng, 4) != 0)
        s->first = s->first % 2500; /* where there are pages */
    uint64_t number = base / PAGE_BYTES + s->first;
    if (rng_below(rng, 2) == 0 && s->first >= 512)
        s->first -= number % 512;
    if (rng_below(rng, 4) == 0 && s->first >= 512 * 512)
        s->first -= (base / PAGE_BYTES + s->first) % (512 * 512);
    s->n = rng_size(rng, npages - s->first);
    if (rng_below(rng, 3) == 0 && npages - s->first >= 512)
        s->n = 512;
}

static void random_step(struct rng *rng, struct step *s)
{
    memset(s, 0, sizeof *s);
    random_range(rng, s);
    s->what = (enum what)rng_below(rng, KINDS_OF_STEP);
    s->prot = prots[rng_below(rng, COUNT(prots))];
    s->cache = (cache_t)rng_below(rng, 6);
    s->kinds = rng_below(rng, 3) == 0 ? (unsigned)rng_below(rng, KINDS_ALL + 1) : KINDS_ALL;
    s->state =
        (struct page_state){(unsigned)rng_below(rng, 4), rng_below(rng, 3), s->prot, s->cache};
    if (s->state.kind == ENTRY_EMPTY)
        s->state = nothing;
    if (huge && s->what != SET && s->what != NOTE && s->what != SET_PROT)
        s->n = 1 + s->n % 512 % (npages - s->first);
}

/* The frames that the step needs, and what else depends on what is there. */
static void prepare(struct rng *rng, const struct model *m, struct step *s)
{
    const struct page *p = &m->pages[s->first];
    if (s->what == MAP) {
        s->n = s->n % 1024 + 1 > npages - s->first ? 1 : s->n % 1024 + 1;
        s->pa = plain.v + (va_of_page(s->first) % HUGE_2M);
        s->prot |= rng_below(rng, 4) == 0 ? PROT_LOCKED : 0;
    } else if (s->what == MAP_OWNED) {
        s->n = can_be_large(rng, s->first)        ? 512
               : s->n % 8 + 1 > npages - s->first ? 1
                                                  : s->n % 8 + 1;
        s->prot |= PROT_OWNED;
        s->pa = take(s->n);
    } else if (s->what == NOTE) {
        s->prot = rng_below(rng, 2) == 0 ? PROT_LOCKED : 0;
        s->clear = PROT_LOCKED;
    } else if (s->what == EXCHANGE) {
        s->n = can_be_large(rng, s->first) ? 512 : 1;
        s->expected = (struct mapping){.va = VA(va_of_page(s->first)),
                                       .pa = PA(p->pa),
                                       .kind = p->kind,
                                       .value = p->value,
                                       .prot = p->prot,
                                       .cache = p->cache};
        s->prot |= PROT_OWNED;
        s->pa = take(s->n);
    } else if (s->what == FILL) {
        uint64_t room = 512 - va_of_page(s->first) / PAGE_BYTES % 512;
        s->n = s->n > 20 ? 20 : s->n;
        s->n = s->n > room ? room : s->n;
        s->kinds = 1 + (unsigned)rng_below(rng, 3);
        for (uint64_t i = 0; i < s->n; i++)
            s->frames[i] = PA(take(1));
    }
}

static mm_status_t run_step(struct model *m, struct step *s)
{
    struct space *in = &m->space;
    vaddr_t va = VA(va_of_page(s->first));
    switch (s->what) {
    case MAP:
    case MAP_OWNED:
        return paging_map(in, va, PA(s->pa), s->n, s->prot, s->cache);
    case UNMAP:
        return paging_unmap(in, va, s->n);
    case PROTECT:
        return paging_protect(in, va, s->n, s->prot, s->cache);
    case SET_PROT:
        return paging_set_prot(in, va, s->n, s->kinds, s->prot);
    case NOTE:
        return paging_note(in, va, s->n, s->kinds, s->prot, s->clear);
    case SET:
        return paging_set(in, va, s->n, s->kinds, &s->state);
    case EXCHANGE:
        return paging_exchange(in, va, s->n * PAGE_BYTES, &s->expected, PA(s->pa), s->prot,
                               s->cache, NULL, NULL);
    case FILL:
        return paging_fill(in, va, s->n, s->kinds, PROT_OWNED, s->frames, &s->used);
    default:
        return paging_merge(in, va, s->n, &s->used);
    }
}

/* Whether an exchange of 2 MiB finds one entry depends on more than the pages: both are right. */
static bool may_be_in_pieces(const struct model *m, const struct step *s)
{
    struct walk w = walk(m->space.root.v, va_of_page(s->first));
    return s->n > 1 && w.shift == 12;
}

static mm_status_t expected_status(const struct model *m, const struct step *s)
{
    const struct page *p = &m->pages[s->first];
    if (s->what == EXCHANGE && p->kind == ENTRY_EMPTY)
        return MM_INVAL;
    if (s->what == EXCHANGE)
        return may_be_in_pieces(m, s) ? MM_NOTFOUND : MM_OK;
    if (s->what == NOTE || s->what == FILL || s->what == MERGE)
        return MM_OK;
    unsigned over = s->kinds, status = MM_EXISTS;
    if (s->what == MAP || s->what == MAP_OWNED)
        over = EMPTY;
    if (s->what == UNMAP || s->what == PROTECT) {
        over = PAGES;
        status = MM_NOTFOUND;
    }
    for (uint64_t i = 0; i < s->n; i++)
        if ((KIND(p[i].kind) & over) == 0)
            return status;
    return MM_OK;
}

static void apply_to(struct page *p, const struct step *s, uint64_t i, uint64_t *used)
{
    const prot_t notes = p->prot & PROT_NOTES;
    switch (s->what) {
    case MAP:
    case MAP_OWNED:
    case EXCHANGE:
        *p = (struct page){ENTRY_PAGE, s->pa + i * PAGE_BYTES, 0, s->prot, s->cache};
        break;
    case UNMAP:
        *p = (struct page){0};
        break;
    case PROTECT:
        p->cache = s->cache;
        p->prot = s->prot | notes;
        break;
    case SET_PROT:
        p->prot = p->kind == ENTRY_EMPTY ? 0 : s->prot | notes;
        break;
    case NOTE:
        if (p->kind != ENTRY_EMPTY && (KIND(p->kind) & s->kinds) != 0)
            p->prot = (p->prot & ~s->clear) | s->prot;
        break;
    case SET:
        *p = (struct page){s->state.kind, 0, s->state.value, s->state.prot, s->state.cache};
        break;
    case FILL:
        if (p->kind == s->kinds)
            *p = (struct page){ENTRY_PAGE, s->frames[(*used)++].v, 0, p->prot | PROT_OWNED,
                               p->cache};
        break;
    default:
        break;
    }
}

static void apply(struct model *m, struct step *s)
{
    uint64_t used = 0;
    for (uint64_t i = 0; i < s->n; i++) {
        struct page *p = &m->pages[s->first + i];
        if (s->what == EXCHANGE && p->kind == ENTRY_PAGE && (p->prot & PROT_OWNED) != 0 && i == 0)
            poison_and_release(PA(p->pa), s->n); /* the caller's; one page of n */
        apply_to(p, s, i, &used);
    }
    if (s->what == FILL) {
        assert_int_equal(used, s->used);
        for (; used < s->n; used++)
            poison_and_release(s->frames[used], 1);
    }
}

/* The frames that were for a step that has failed. */
static void give_back(const struct step *s)
{
    if (s->what == MAP_OWNED || s->what == EXCHANGE)
        poison_and_release(PA(s->pa), s->n);
    for (uint64_t i = 0; s->what == FILL && i < s->n; i++)
        poison_and_release(s->frames[i], 1);
}

static uint64_t hash_of_all(void)
{
    uint64_t n, all = machine_free_frames() + owner.shared + owner.released;
    for (unsigned s = 0; s < SPACES; s++)
        all = all * 31 + walk_hash(models[s].space.root.v, &n);
    return all;
}

static void step_with_failures(struct model *m, struct step *s, mm_status_t want)
{
    for (unsigned k = 1;; k++) {
        uint64_t before = hash_of_all();
        machine_fail_allocation(k);
        mm_status_t status = run_step(m, s);
        bool failed = machine_failed();
        assert_int_equal(failed ? MM_NOMEM : want, status);
        if (status != MM_OK)
            assert_int_equal(before, hash_of_all());
        if (!failed)
            return;
    }
}

/* --- Copies ------------------------------------------------------------------- */

static void clear_model(struct model *m)
{
    port_set_root(PA(0));
    paging_leave();
    paging_destroy(&m->space);
    assert_int_equal(MM_OK, paging_create_user(&m->space, &space));
    m->space.hooks = &hooks;
    memset(m->pages, 0, npages * sizeof m->pages[0]);
}

static void clone(struct model *from, struct model *to)
{
    clear_model(to);
    paging_switch(&from->space);
    for (unsigned k = 1;; k++) {
        uint64_t before = hash_of_all();
        machine_fail_allocation(k);
        mm_status_t status = paging_clone(&from->space, &to->space);
        if (!machine_failed()) {
            assert_int_equal(MM_OK, status);
            break;
        }
        assert_int_equal(MM_NOMEM, status);
        assert_int_equal(before, hash_of_all());
    }
    for (uint64_t i = 0; i < npages; i++) {
        struct page *p = &from->pages[i];
        if (p->kind == ENTRY_PAGE && (p->prot & PROT_OWNED) != 0)
            p->prot |= PROT_COPY;
        to->pages[i] = *p;
    }
}

/* --- The test ----------------------------------------------------------------- */

static void set_up(uint64_t at, uint64_t n)
{
    base = at;
    npages = n;
    const struct pmm_limits limits = {.align_frames = 512};
    assert_int_equal(MM_OK, pmm_alloc_frames(PLAIN, &limits, &plain));
    for (uint64_t i = 0; i < PLAIN; i++)
        word(plain.v + i * PAGE_BYTES)[0] = plain.v + i * PAGE_BYTES;
    assert_int_equal(MM_OK, paging_seal(&space, VA(WINDOW), GIB / PAGE_BYTES));
    for (unsigned i = 0; i < SPACES; i++) {
        models[i].pages = calloc(n, sizeof models[i].pages[0]);
        assert_int_equal(MM_OK, paging_create_user(&models[i].space, &space));
        models[i].space.hooks = &hooks;
    }
}

static void tear_down(void)
{
    for (unsigned i = 0; i < SPACES; i++) {
        clear_model(&models[i]);
        paging_destroy(&models[i].space);
        free(models[i].pages);
    }
    for (uint64_t i = 0; i < OWNER_FRAMES; i++)
        assert_int_equal(0, owner.mappings[i]);
    assert_int_equal(MM_OK, pmm_free_frames(plain, PLAIN));
}

static void random_steps(unsigned count, unsigned check_step)
{
    static struct step s;
    struct rng rng = rng_start();
    unsigned done[KINDS_OF_STEP] = {0}, all = 0, clones = 0;
    for (unsigned i = 0; i < count; i++) {
        struct model *m = &models[rng_below(&rng, SPACES)];
        if (rng_below(&rng, 64) == 0) {
            clone(m, &models[m == models ? 1 : 0]);
            clones++;
        }
        paging_switch(&m->space);
        use(m, &rng);
        random_step(&rng, &s);
        prepare(&rng, m, &s);
        mm_status_t want = expected_status(m, &s);
        step_with_failures(m, &s, want);
        done[s.what] += want == MM_OK;
        if (want == MM_OK)
            apply(m, &s);
        else
            give_back(&s);
        assert_true(paging_validate(&m->space));
        check(m, s.first, s.n, i % 64 == 0 ? 1 : check_step);
        use(m, &rng);
        if (!huge || i % 16 == 0)
            check_find(m, &rng);
        if (i % 64 == 0) {
            check_owner();
            check_runs(m);
        }
    }
    for (unsigned what = 0; what < KINDS_OF_STEP; what++) {
        assert_true(huge || done[what] > 0);
        all += done[what];
    }
    assert_true(clones > 0 && all > count / 4);
}

static void all_that_is_kept_matches_arrays(void **state)
{
    (void)state;
    huge = false;
    set_up(GIB - 700 * PAGE_BYTES, 2500); /* across a PDPT entry */
    random_steps(3000, 17);
    tear_down();
}

static void large_states_match_arrays(void **state)
{
    (void)state;
    huge = true;
    set_up(510 * GIB - 700 * PAGE_BYTES, 3 * GIB / PAGE_BYTES); /* across a PML4 entry */
    random_steps(600, 1021);
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OWNED_TEST(all_that_is_kept_matches_arrays),
        OWNED_TEST(large_states_match_arrays),
    };
    return cmocka_run_group_tests_name("paging: everything", tests, NULL, NULL);
}
