/* Random changes of page tables against a plain array of pages, and a TLB that remembers what it
 * has seen until it is told to forget. */
#include "paging_rig.h"

/* --- A TLB ---------------------------------------------------------------- */

#define TLB_ENTRIES 64

static struct tlb {
    struct {
        uint64_t va; /* of the page */
        struct walk seen;
    } entries[TLB_ENTRIES];
    unsigned next;
    uint64_t free_before; /* frames, when the operation began */
    bool flushed;
} tlb;

/* invlpg: the entry that translates va, and no other. */
static void tlb_invalidate(uint64_t va)
{
    for (size_t i = 0; i < TLB_ENTRIES; i++)
        if ((tlb.entries[i].va ^ va) >> tlb.entries[i].seen.shift == 0)
            tlb.entries[i].seen.present = false;
}

static void tlb_flush(const struct tlb_batch *batch)
{
    for (unsigned i = 0; !batch->whole && i < batch->count; i++)
        for (uint64_t page = 0; page < batch->ranges[i].count; page++)
            tlb_invalidate(batch->ranges[i].va.v + page * batch->ranges[i].page_bytes);
    for (size_t i = 0; batch->whole && i < TLB_ENTRIES; i++)
        tlb.entries[i].seen.present = false;
    /* A table that was freed before the flush could be another's by
     * now, with the CPU still in it. */
    if (machine_free_frames() > tlb.free_before)
        fail_msg("tables were freed before the TLB was flushed");
    tlb.flushed = true;
}

static void tlb_touch(uint64_t va)
{
    struct walk w = look(va);
    if (!w.present)
        return;
    uint64_t page = va & ~((1ull << w.shift) - 1);
    w.pa -= va - page;
    tlb.entries[tlb.next % TLB_ENTRIES].va = page;
    tlb.entries[tlb.next++ % TLB_ENTRIES].seen = w;
}

/* Nothing that the TLB remembers may contradict the tables; page sizes may differ after a split. */
static void tlb_check(void)
{
    for (size_t i = 0; i < TLB_ENTRIES; i++) {
        const struct walk *seen = &tlb.entries[i].seen;
        if (!seen->present)
            continue;
        uint64_t pages = 1ull << (seen->shift - 12), step = pages > 64 ? pages / 64 : 1;
        for (uint64_t page = 0; page < pages; page += step) {
            struct walk now = look(tlb.entries[i].va + page * PAGE_BYTES);
            assert_true(now.present);
            assert_int_equal(seen->pa + page * PAGE_BYTES, now.pa);
            assert_int_equal(seen->write, now.write);
            assert_int_equal(seen->exec, now.exec);
            assert_int_equal(seen->user, now.user);
            assert_int_equal(seen->pat, now.pat);
        }
    }
}

static void stale_translations_are_flushed(void **state)
{
    (void)state;
    memset(&tlb, 0, sizeof tlb);
    machine.on_shootdown = tlb_flush;
    paging_switch(&space);
    tlb.free_before = UINT64_MAX;
    map(GIB, GIB, GIB / PAGE_BYTES, RW);
    assert_false(tlb.flushed); /* nothing was there before: nothing to forget */
    tlb_touch(GIB + 12345);
    protect(GIB + HUGE_2M, 1, PROT_READ);
    tlb_check();
    tlb_touch(GIB + HUGE_2M);
    unmap(GIB + HUGE_2M, 1);
    tlb_check();
    tlb_touch(GIB + HUGE_2M - 1);
    tlb.free_before = machine_free_frames();
    unmap(GIB, 512);
    tlb_check();
}

/* --- Random operations against an array of pages -------------------------- */

#define MODEL_PAGES (1024 * 3 + 37)
#define MODEL_BASE  (GIB - 1024 * PAGE_BYTES) /* across a PDPT entry */

struct page {
    uint64_t pa;
    prot_t prot; /* 0: not mapped */
    cache_t cache;
};

static struct model {
    uint64_t base, npages;
    struct page *pages;
} model;

static void model_check_page(uint64_t i)
{
    const struct page *p = &model.pages[i];
    struct walk w = look(model.base + i * PAGE_BYTES);
    assert_int_equal(p->prot != 0, w.present);
    if (!w.present)
        return;
    assert_int_equal(p->pa, w.pa);
    assert_int_equal(p->cache, w.pat);
    assert_int_equal((p->prot & PROT_WRITE) != 0, w.write);
    assert_int_equal((p->prot & PROT_EXEC) != 0, w.exec);
    assert_int_equal((p->prot & PROT_USER) != 0, w.user);
    assert_int_equal((p->prot & PROT_GLOBAL) != 0, w.global);
}

/* All pages, or, with a step, some and those around both ends of what was changed. */
static void model_check(uint64_t first, uint64_t npages, uint64_t step)
{
    for (uint64_t i = 0; i < model.npages; i += step)
        model_check_page(i);
    for (uint64_t i = first < 4 ? 0 : first - 4; i < first + 4 && i < model.npages; i++)
        model_check_page(i);
    uint64_t end = first + npages;
    for (uint64_t i = end < 4 ? 0 : end - 4; i < end + 4 && i < model.npages; i++)
        model_check_page(i);
}

static bool model_all(uint64_t first, uint64_t npages, bool mapped)
{
    for (uint64_t i = first; i < first + npages; i++)
        if ((model.pages[i].prot != 0) != mapped)
            return false;
    return true;
}

static prot_t random_prot(struct rng *rng)
{
    static const prot_t kinds[] = {PROT_READ, RW, RX};
    prot_t prot = kinds[rng_below(rng, 3)];
    prot |= rng_below(rng, 4) == 0 ? PROT_USER : 0;
    return prot | (rng_below(rng, 2) == 0 ? PROT_GLOBAL : 0);
}

struct step {
    enum { MAP, UNMAP, PROTECT, MERGE } what;
    uint64_t first, npages, pa;
    prot_t prot;
    cache_t cache;
};

/* The physical address often has the alignment of the virtual one, or large pages would be rare. */
static struct step random_step(struct rng *rng)
{
    struct step s = {.what = rng_below(rng, 4), .prot = random_prot(rng)};
    s.cache = (cache_t)rng_below(rng, 6);
    s.first = rng_below(rng, model.npages);
    if (rng_below(rng, 2) == 0)
        s.first -= (model.base / PAGE_BYTES + s.first) % 512 % (s.first + 1);
    s.npages = rng_size(rng, model.npages - s.first);
    uint64_t va = model.base + s.first * PAGE_BYTES;
    s.pa = rng_below(rng, 4) != 0 ? va + GIB * rng_below(rng, 4)
                                  : rng_below(rng, 1 << 20) * PAGE_BYTES;
    return s;
}

static mm_status_t run_step(const struct step *s)
{
    vaddr_t va = VA(model.base + s->first * PAGE_BYTES);
    switch (s->what) {
    case MAP:
        return paging_map(&space, va, PA(s->pa), s->npages, s->prot, s->cache);
    case UNMAP:
        return paging_unmap(&space, va, s->npages);
    case PROTECT:
        return paging_protect(&space, va, s->npages, s->prot, s->cache);
    default:
        return paging_merge(&space, va, s->npages, &(uint64_t){0});
    }
}

static void model_apply(const struct step *s)
{
    for (uint64_t i = 0; i < s->npages && s->what != MERGE; i++) {
        struct page *p = &model.pages[s->first + i];
        if (s->what == MAP)
            p->pa = s->pa + i * PAGE_BYTES;
        p->prot = s->what == UNMAP ? 0 : s->prot;
        p->cache = s->cache;
    }
}

/* The step, with its first, second, ... allocation failing until none is left to fail. */
static void step_with_failures(const struct step *s, mm_status_t want)
{
    for (unsigned k = 1;; k++) {
        uint64_t before = snapshot();
        machine_fail_allocation(k);
        mm_status_t status = run_step(s);
        if (!machine_failed()) {
            assert_int_equal(want, status);
            if (want != MM_OK)
                assert_int_equal(before, snapshot());
            return;
        }
        assert_int_equal(MM_NOMEM, status);
        assert_int_equal(before, snapshot());
        tlb_check();
    }
}

static void random_steps(int count, uint64_t base, uint64_t npages, uint64_t check_step)
{
    struct rng rng = rng_start();
    memset(&tlb, 0, sizeof tlb);
    machine.on_shootdown = tlb_flush;
    paging_switch(&space);
    model = (struct model){base, npages, calloc(npages, sizeof(struct page))};
    for (int i = 0; i < count; i++) {
        struct step s = random_step(&rng);
        mm_status_t want = MM_OK;
        if (s.what != MERGE && !model_all(s.first, s.npages, s.what != MAP))
            want = s.what == MAP ? MM_EXISTS : MM_NOTFOUND;
        tlb.free_before = machine_free_frames();
        step_with_failures(&s, want);
        if (want == MM_OK)
            model_apply(&s);
        assert_true(paging_validate(&space));
        model_check(s.first, s.npages, i % 64 == 0 ? 1 : check_step);
        tlb_check();
        for (int j = 0; j < 8; j++)
            tlb_touch(base + rng_below(&rng, npages) * PAGE_BYTES);
    }
    for (uint64_t i = 0; i < npages;
         i++) /* what is left goes page by page, and all tables with it */
        if (model.pages[i].prot != 0) {
            tlb.free_before = machine_free_frames();
            assert_int_equal(MM_OK, paging_unmap(&space, VA(base + i * PAGE_BYTES), 1));
        }
    assert_int_equal(1, space.ntables);
    free(model.pages);
}

static void random_small_steps_match_an_array(void **state)
{
    (void)state;
    random_steps(3000, MODEL_BASE, MODEL_PAGES, 16);
}

static void random_steps_with_huge_pages_match_an_array(void **state)
{
    (void)state;
    random_steps(150, 510 * GIB - 700 * PAGE_BYTES, 4 * GIB / PAGE_BYTES, 509);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stale_translations_are_flushed),
        TEST(random_small_steps_match_an_array),
        TEST(random_steps_with_huge_pages_match_an_array),
    };
    return cmocka_run_group_tests_name("paging model", tests, NULL, NULL);
}
