/* Virtual memory of the kernel: ranges in its windows, their records, devices, faults. */
#include "vmm_rig.h"

static int start(void **state)
{
    (void)state;
    start_machine(4, 64 * MIB);
    return 0;
}

static int start_5_levels(void **state)
{
    (void)state;
    start_machine(5, 64 * MIB);
    return 0;
}

static struct vmm_range range_at(uint64_t va)
{
    struct vmm_range range;
    if (!vmm_find(VA(va), &range))
        fail_msg("no range at %lx", va);
    return range;
}

static void assert_range(uint64_t at, const char *name, uint64_t va, uint64_t npages)
{
    struct vmm_range range = range_at(at);
    assert_string_equal(name, range.name);
    assert_int_equal(va, range.va.v);
    assert_int_equal(npages, range.npages);
}

static void assert_no_range(uint64_t va)
{
    struct vmm_range range;
    assert_false(vmm_find(VA(va), &range));
}

/* --- Ranges ------------------------------------------------------------------- */

static void a_range_is_zeroed_and_between_guards(void **state)
{
    (void)state;
    uint64_t a = alloc_pages(KERNEL, 5, VMM_NOW), b = alloc_pages(KERNEL, 3, VMM_NOW), value = 1;
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(0, read_at(KERNEL, a + i * PAGE_BYTES));
    assert_int_equal(5, run_from(KERNEL, a).npages * run_from(KERNEL, a).page_bytes / PAGE_BYTES);
    assert_int_equal(0, KERNEL->faults);
    assert_int_equal(VMM_GUARD_HIT, touch(KERNEL, a - 1, VMM_READ, &value));
    assert_int_equal(VMM_GUARD_HIT, touch(KERNEL, b - 1, VMM_WRITE, &value));
    assert_int_equal(a + 6 * PAGE_BYTES, b); /* dense */
    assert_int_equal(VMM_NOT_MAPPED, touch(KERNEL, b + 3 * PAGE_BYTES, VMM_READ, &value));
    assert_int_equal(RW | PROT_GLOBAL | PROT_OWNED, run_from(KERNEL, a).prot);
}

static void a_lazy_range_is_filled_on_touch(void **state)
{
    (void)state;
    uint64_t va = alloc_pages(KERNEL, 2000, VMM_LAZY), before = used_frames();
    assert_int_equal(0, va % HUGE_2M);
    assert_int_equal(VMM_IS_LAZY, run_from(KERNEL, va).kind);
    assert_int_equal(0, read_at(KERNEL, va + 5 * PAGE_BYTES));
    assert_int_equal(before + 512, used_frames());                 /* a large page needs no table */
    struct vmm_run inside = run_from(KERNEL, va + 5 * PAGE_BYTES); /* a part of a large page */
    assert_int_equal(507, inside.npages);
    assert_int_equal(walk(KERNEL->space.root.v, va + 5 * PAGE_BYTES).pa, inside.pa.v);
    write_at(KERNEL, va + 1999 * PAGE_BYTES, 77);
    assert_int_equal(before + 513, used_frames());
    assert_int_equal(77, read_at(KERNEL, va + 1999 * PAGE_BYTES));
    assert_int_equal(2, KERNEL->faults);
    assert_int_equal(VMM_FORBIDDEN, vmm_fault(KERNEL, VA(va), VMM_FETCH));
    assert_int_equal(VMM_FORBIDDEN, vmm_fault(KERNEL, VA(va + HUGE_2M), VMM_READ | VMM_USER));
    assert_int_equal(VMM_RESOLVED, vmm_fault(KERNEL, VA(va), VMM_WRITE)); /* it was allowed */
    check_everything();
    vmm_free_range(VA(va));
    check_everything();
}

static void small_pages_are_small(void **state)
{
    (void)state;
    struct vmm_want want = {
        .name = "small", .npages = 1024, .prot = RW, .align = 512, .flags = VMM_SMALL_PAGES};
    uint64_t now = alloc(KERNEL, &want);
    assert_int_equal(0, now % HUGE_2M);
    assert_int_equal(PAGE_BYTES, run_from(KERNEL, now).page_bytes);
    want.backing = VMM_LAZY;
    uint64_t lazy = alloc(KERNEL, &want), before = used_frames();
    write_at(KERNEL, lazy + HUGE_2M, 1);
    assert_int_equal(PAGE_BYTES, run_from(KERNEL, lazy + HUGE_2M).page_bytes);
    assert_in_range(used_frames() - before, 1, 2);
    want.flags = 0;
    want.backing = VMM_NOW;
    assert_int_equal(HUGE_2M, run_from(KERNEL, alloc(KERNEL, &want)).page_bytes);
}

static void a_reserved_range_is_backed_by_commit(void **state)
{
    (void)state;
    uint64_t va = alloc_pages(KERNEL, GIB / PAGE_BYTES, VMM_RESERVED), value;
    assert_int_equal(VMM_IS_RESERVED, touch(KERNEL, va, VMM_READ, &value));
    assert_int_equal(MM_OK, vmm_commit(KERNEL, VA(va + 5 * PAGE_BYTES), 4, VMM_NOW));
    assert_int_equal(MM_OK, vmm_commit(KERNEL, VA(va + 7 * PAGE_BYTES), 4, VMM_LAZY));
    assert_int_equal(VMM_IS_PAGE, run_from(KERNEL, va + 8 * PAGE_BYTES).kind); /* as it was */
    assert_int_equal(VMM_IS_LAZY, run_from(KERNEL, va + 9 * PAGE_BYTES).kind);
    assert_int_equal(2, run_from(KERNEL, va + 9 * PAGE_BYTES).npages);
    write_at(KERNEL, va + 10 * PAGE_BYTES, 5);
    assert_int_equal(VMM_IS_RESERVED, touch(KERNEL, va + 11 * PAGE_BYTES, VMM_READ, &value));
    assert_int_equal(VMM_IS_RESERVED, touch(KERNEL, va + 4 * PAGE_BYTES, VMM_READ, &value));
    check_everything();
    assert_int_equal(MM_OK, vmm_decommit(KERNEL, VA(va), 20));
    assert_int_equal(VMM_IS_RESERVED, touch(KERNEL, va + 10 * PAGE_BYTES, VMM_READ, &value));
    assert_int_equal(MM_OK, vmm_commit(KERNEL, VA(va), 1024, VMM_NOW));
    assert_int_equal(0, read_at(KERNEL, va + 10 * PAGE_BYTES));
    assert_int_equal(MM_NOTFOUND, vmm_commit(KERNEL, VA(va - PAGE_BYTES), 2, VMM_NOW));
}

static void reserving_a_tebibyte_costs_little(void **state)
{
    (void)state;
    uint64_t before = used_frames();
    uint64_t va = alloc_pages(KERNEL, TIB / PAGE_BYTES, VMM_RESERVED);
    assert_in_range(used_frames() - before, 0, 8);
    assert_range(va + TIB - 1, "test", va, TIB / PAGE_BYTES);
    vmm_free_range(VA(va));
    assert_int_equal(before, used_frames());
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    const struct {
        struct vmm_want want;
        mm_status_t status;
    } cases[] = {
        {{.name = "x", .npages = 0, .prot = RW}, MM_INVAL},
        {{.name = NULL, .npages = 1, .prot = RW}, MM_INVAL},
        {{.name = "x", .npages = 1, .prot = 0}, MM_INVAL},
        {{.name = "x", .npages = 1, .prot = RW, .at = VA(VMM_WINDOW_BASE)}, MM_INVAL},
        {{.name = "x", .npages = 1, .prot = RW, .align = 3}, MM_INVAL},
        {{.name = "x", .npages = 1, .prot = RW, .flags = 4}, MM_INVAL},
        {{.name = "x", .npages = 1, .prot = RW, .backing = 9}, MM_INVAL},
        {{.name = "x", .npages = 1, .prot = RW, .backing = VMM_STACK, .flags = VMM_LOCKED},
         MM_INVAL},
        {{.name = "x", .npages = 1, .prot = RW | PROT_USER}, MM_INVAL},
        {{.name = "x", .npages = 1, .prot = RW | PROT_EXEC}, MM_DENIED},
        {{.name = "x", .npages = 1, .prot = RW, .cache = CACHE_UC}, MM_DENIED},
        {{.name = "x", .npages = 1ull << 30, .prot = RW}, MM_RANGE},
        {{.name = "x", .npages = ~0ull, .prot = RW}, MM_RANGE},
        {{.name = "x", .npages = 65536, .prot = RW}, MM_NOMEM}, /* 256 MiB of 64 */
    };
    uint64_t before = dump(KERNEL, false);
    for (size_t i = 0; i < COUNT(cases); i++) {
        vaddr_t va = VA(1);
        if (cases[i].status != vmm_alloc(KERNEL, &cases[i].want, &va))
            fail_msg("case %zu", i);
        assert_int_equal(1, va.v);
    }
    assert_int_equal(MM_DENIED, vmm_free(KERNEL, VA(hhdm.base.v), 1));
    assert_int_equal(MM_INVAL, vmm_free(KERNEL, VA(VMM_WINDOW_BASE + 1), 1));
    assert_int_equal(MM_INVAL, vmm_free(KERNEL, VA(VMM_WINDOW_BASE), 0));
    assert_int_equal(MM_RANGE, vmm_free(KERNEL, VA(VMM_WINDOW_BASE), ~0ull));
    assert_int_equal(MM_NOTFOUND, vmm_free(KERNEL, VA(VMM_WINDOW_BASE + 7 * GIB), 1));
    assert_int_equal(before, dump(KERNEL, false));
}

/* --- Records -------------------------------------------------------------------- */

static void ranges_are_found_by_name(void **state)
{
    (void)state;
    vaddr_t stack;
    assert_int_equal(MM_OK, vmm_alloc_stack("stack", 8, &stack));
    uint64_t other = alloc_pages(KERNEL, 700, VMM_LAZY);
    assert_range(stack.v - 1, "stack", stack.v, 8); /* its guard */
    assert_range(stack.v - PAGE_BYTES, "stack", stack.v, 8);
    assert_range(stack.v + 8 * PAGE_BYTES - 1, "stack", stack.v, 8);
    assert_range(other + 699 * PAGE_BYTES, "test", other, 700);
    assert_no_range(other + 700 * PAGE_BYTES);
    assert_no_range(VMM_WINDOW_BASE - 1);
    assert_no_range(VMM_DEVICE_END);
    assert_no_range(0);
    struct vmm_range range = {0};
    assert_true(vmm_next_range(&range));
    assert_int_equal(stack.v, range.va.v);
    assert_true(vmm_next_range(&range));
    assert_int_equal(other, range.va.v);
    assert_false(vmm_next_range(&range));
    assert_int_equal(other, range.va.v); /* untouched */
}

static void every_page_of_a_range_finds_it(void **state)
{
    (void)state;
    uint64_t small = alloc_pages(KERNEL, 3, VMM_NOW);
    const struct vmm_want want = {
        .name = "many", .npages = 1700, .prot = RW, .align = 512, .flags = VMM_SMALL_PAGES};
    uint64_t va = alloc(KERNEL, &want);
    assert_int_equal(MM_OK, vmm_decommit(KERNEL, VA(va + 100 * PAGE_BYTES), 1000));
    for (uint64_t i = 0; i < 1700; i++)
        assert_range(va + i * PAGE_BYTES + 77, "many", va, 1700);
    assert_range(small + 2 * PAGE_BYTES, "test", small, 3);
    assert_no_range(small + 4 * PAGE_BYTES);
    struct mapping m;
    struct space *space = &KERNEL->space;
    unsigned pages = KIND(ENTRY_PAGE);
    assert_int_equal(MM_OK, paging_look_back(space, pages, VA(va + HUGE_2M), VA(va), &m));
    assert_int_equal(va + 99 * PAGE_BYTES, m.va.v);
    assert_int_equal(MM_OK, paging_look_back(space, pages, VA(va - 1), VA(small), &m));
    assert_int_equal(small + 2 * PAGE_BYTES, m.va.v);
    assert_int_equal(MM_NOTFOUND,
                     paging_look_back(space, pages, VA(va - 1), VA(small + 3 * PAGE_BYTES), &m));
    assert_int_equal(MM_NOTFOUND, paging_look_back(space, pages, VA(VMM_WINDOW_BASE), VA(0), &m));
    assert_int_equal(MM_RANGE, paging_look_back(space, pages, VA(1ull << 60), VA(0), &m));
}

static void a_part_that_is_freed_leaves_two_ranges(void **state)
{
    (void)state;
    uint64_t va = alloc_pages(KERNEL, 2000, VMM_NOW), value;
    for (uint64_t i = 0; i < 2000; i += 37)
        write_at(KERNEL, va + i * PAGE_BYTES, i + 1);
    free_pages(KERNEL, va + 500 * PAGE_BYTES, 600);
    assert_range(va + 499 * PAGE_BYTES, "test", va, 500);
    assert_range(va + 1099 * PAGE_BYTES, "test", va + 1100 * PAGE_BYTES, 900);
    assert_no_range(va + 1098 * PAGE_BYTES);
    assert_int_equal(VMM_GUARD_HIT, touch(KERNEL, va + 1099 * PAGE_BYTES, VMM_READ, &value));
    assert_int_equal(VMM_NOT_MAPPED, touch(KERNEL, va + 1098 * PAGE_BYTES, VMM_READ, &value));
    for (uint64_t i = 0; i < 2000; i += 37)
        if (i < 500 || i >= 1100)
            assert_int_equal(i + 1, read_at(KERNEL, va + i * PAGE_BYTES));
    check_everything();
    free_pages(KERNEL, va + 1100 * PAGE_BYTES, 10); /* the first pages: the guard moves */
    assert_range(va + 1110 * PAGE_BYTES, "test", va + 1110 * PAGE_BYTES, 890);
    free_pages(KERNEL, va + 1990 * PAGE_BYTES, 10); /* the last */
    assert_range(va + 1110 * PAGE_BYTES, "test", va + 1110 * PAGE_BYTES, 880);
    free_pages(KERNEL, va + 1500 * PAGE_BYTES, 1); /* a hole that is all guard */
    assert_range(va + 1110 * PAGE_BYTES, "test", va + 1110 * PAGE_BYTES, 390);
    assert_range(va + 1500 * PAGE_BYTES, "test", va + 1501 * PAGE_BYTES, 489);
    check_everything();
    assert_int_equal(MM_NOTFOUND, vmm_free(KERNEL, VA(va + 1400 * PAGE_BYTES), 200)); /* across */
    assert_int_equal(MM_NOTFOUND, vmm_free(KERNEL, VA(va + 1500 * PAGE_BYTES), 1));   /* a guard */
    assert_int_equal(MM_NOTFOUND, vmm_free(KERNEL, VA(va + 1989 * PAGE_BYTES), 2));
    assert_int_equal(MM_NOTFOUND, vmm_free(KERNEL, VA(va + 600 * PAGE_BYTES), 1)); /* again */
    vmm_free_range(VA(va));
    vmm_free_range(VA(va + 1110 * PAGE_BYTES));
    free_pages(KERNEL, va + 1501 * PAGE_BYTES, 489);
    struct vmm_range range = {0};
    assert_false(vmm_next_range(&range));
}

/* When there is no memory to cut a large guard, it stays one: all is found, and goes in the end. */
static void without_memory_a_guard_stays_large(void **state)
{
    (void)state;
    unsigned large = 0;
    bool failed = true;
    for (unsigned k = 1; failed; k++) {
        uint64_t va = alloc_pages(KERNEL, 2048, VMM_NOW), value;
        machine_fail_allocation(k);
        mm_status_t status = vmm_free(KERNEL, VA(va + HUGE_2M), 512);
        failed = machine_failed();
        if (status == MM_OK) {
            assert_range(va + HUGE_2M - 1, "test", va, 512);
            assert_range(va + 2 * HUGE_2M - 1, "test", va + 2 * HUGE_2M, 1024);
            assert_range(va + 3 * HUGE_2M, "test", va + 2 * HUGE_2M, 1024);
        }
        if (status == MM_OK && failed) {
            assert_range(va + HUGE_2M, "test", va + 2 * HUGE_2M, 1024);
            assert_int_equal(VMM_GUARD_HIT, touch(KERNEL, va + HUGE_2M, VMM_READ, &value));
            free_pages(KERNEL, va + 2 * HUGE_2M, 12);
            assert_no_range(va + HUGE_2M);
            assert_range(va + 2 * HUGE_2M + 11 * PAGE_BYTES, "test",
                         va + 2 * HUGE_2M + 12 * PAGE_BYTES, 1012);
            large++;
        }
        check_everything();
        for (struct vmm_range r = {0}; vmm_next_range(&r); r.npages = 0)
            vmm_free_range(r.va);
        struct window_stats window;
        window_get_stats(&window);
        assert_int_equal(0, window.npages);
        check_everything();
    }
    assert_int_equal(1, large);
}

static void what_a_record_does_not_cover_is_no_range(void **state)
{
    (void)state;
    uint64_t va = alloc_pages(KERNEL, 3, VMM_NOW), behind = va + 3 * PAGE_BYTES;
    assert_int_equal(MM_OK, paging_map(&KERNEL->space, VA(behind), PA(0), 1, RW, CACHE_WB));
    assert_no_range(behind);
    assert_int_equal(MM_OK, paging_unmap(&KERNEL->space, VA(behind), 1));
}

static void freeing_what_is_no_range_is_misuse(void **state)
{
    (void)state;
    uint64_t va = alloc_pages(KERNEL, 4, VMM_NOW), before = dump(KERNEL, false);
    vmm_free_range(VA(va + PAGE_BYTES));
    assert_misuse("is not the first page of a range");
    vmm_free_range(VA(va - PAGE_BYTES));
    assert_misuse("is not the first page of a range");
    vmm_free_range(VA(hhdm.base.v));
    assert_misuse("is not the first page of a range");
    assert_int_equal(before, dump(KERNEL, false));
    vmm_free_range(VA(va));
    vmm_free_range(VA(va));
    assert_misuse("is not the first page of a range");
}

/* --- Devices ---------------------------------------------------------------------- */

#define DEVICE (1ull << 40)

static uint64_t map_device(uint64_t pa, uint64_t bytes, cache_t cache)
{
    vaddr_t va;
    assert_int_equal(MM_OK, vmm_map_device("device", PA(pa), bytes, cache, &va));
    return va.v;
}

static void devices_are_mapped_with_one_type(void **state)
{
    (void)state;
    vaddr_t va = VA(1);
    uint64_t a = map_device(DEVICE + 0x123, 0x2000, CACHE_UC);
    assert_int_equal(0x123, a % PAGE_BYTES);
    assert_range(a, "device", a - 0x123, 3);
    struct walk w = walk(KERNEL->space.root.v, a + 0x1000);
    assert_true(w.present && w.write && !w.exec && !w.user && w.pat == CACHE_UC);
    assert_int_equal(DEVICE + 0x1123, w.pa);
    assert_int_equal(MM_DENIED, vmm_map_device("x", PA(DEVICE + 0x2fff), 1, CACHE_WC, &va));
    assert_int_equal(1, va.v);
    map_device(DEVICE + 0x3000, 1, CACHE_WC);         /* the next page */
    uint64_t again = map_device(DEVICE, 1, CACHE_UC); /* the same way: twice */
    assert_true(again != a);
    vmm_free_range(VA(a));
    assert_int_equal(MM_DENIED, vmm_map_device("x", PA(DEVICE), 1, CACHE_WC, &va));
    vmm_free_range(VA(again));
    map_device(DEVICE, 1, CACHE_WC);
    check_everything();
}

static void what_a_device_has_is_not_mapped_with_another_type(void **state)
{
    (void)state;
    static struct vm user;
    struct vm *const vms[] = {KERNEL, &user};
    uint64_t device = map_device(DEVICE, 2 * PAGE_BYTES, CACHE_UC);
    assert_int_equal(MM_OK, vmm_create(&user, "user"));
    for (unsigned i = 0; i < COUNT(vms); i++) {
        struct vmm_want want = {.name = "x", .npages = 3, .prot = RW, .cache = CACHE_WC};
        vaddr_t va = VA(1), behind;
        assert_int_equal(MM_DENIED, vmm_map(vms[i], &want, PA(DEVICE + PAGE_BYTES), &va));
        want.cache = CACHE_WB;
        assert_int_equal(MM_DENIED, vmm_map(vms[i], &want, PA(DEVICE - 2 * PAGE_BYTES), &va));
        assert_int_equal(1, va.v);
        assert_int_equal(MM_OK, vmm_map(vms[i], &want, PA(DEVICE + 2 * PAGE_BYTES), &behind));
        want.cache = CACHE_UC;
        assert_int_equal(MM_OK, vmm_map(vms[i], &want, PA(DEVICE + PAGE_BYTES), &va));
        free_pages(vms[i], va.v, 3);
        free_pages(vms[i], behind.v, 3);
    }
    vmm_free_range(VA(device));
    const struct vmm_want want = {.name = "x", .npages = 3, .prot = RW, .cache = CACHE_WC};
    vaddr_t va;
    assert_int_equal(MM_OK, vmm_map(KERNEL, &want, PA(DEVICE), &va));
}

static void ram_is_mapped_as_the_direct_map_shows_it(void **state)
{
    (void)state;
    vaddr_t va = VA(1);
    struct vmm_want want = {.name = "ram", .npages = 4, .prot = RW, .cache = CACHE_UC};
    paddr_t ram;
    assert_int_equal(MM_OK, pmm_alloc_frames(4, NULL, &ram));
    assert_int_equal(MM_DENIED, vmm_map_device("x", PA(RAM_BASE), 1, CACHE_UC, &va));
    assert_int_equal(MM_DENIED, vmm_map(KERNEL, &want, ram, &va));
    want.cache = CACHE_WB;
    assert_int_equal(MM_OK, vmm_map(KERNEL, &want, ram, &va));
    write_at(KERNEL, va.v + PAGE_BYTES, 99);
    assert_int_equal(99, *(uint64_t *)phys_to_virt(pa_add(ram, PAGE_BYTES)));
    assert_int_equal(MM_DENIED, vmm_decommit(KERNEL, va, 1)); /* not its own */
    vmm_free_range(va);
    assert_true(pmm_is_used(ram)); /* the caller's */
    pmm_free_frames(ram, 4);
}

static void large_devices_get_large_pages(void **state)
{
    (void)state;
    uint64_t va = map_device(DEVICE + 5 * PAGE_BYTES, 8 * HUGE_2M, CACHE_WC);
    assert_int_equal(5 * PAGE_BYTES, va % HUGE_2M);
    assert_int_equal(HUGE_2M, run_from(KERNEL, va + HUGE_2M - 5 * PAGE_BYTES).page_bytes);
    uint64_t whole = map_device(2 * DEVICE, 3 * HUGE_1G, CACHE_WC);
    assert_int_equal(HUGE_1G, run_from(KERNEL, whole).page_bytes);
    assert_int_equal(3 * HUGE_1G / PAGE_BYTES, range_at(whole).npages);
    const struct vmm_want want = {.name = "x", .npages = 1025, .prot = RW, .cache = CACHE_UC};
    vaddr_t map;
    assert_int_equal(MM_OK, vmm_map(KERNEL, &want, PA(3 * DEVICE + HUGE_2M - PAGE_BYTES), &map));
    assert_int_equal(HUGE_2M - PAGE_BYTES, map.v % HUGE_2M);
    assert_int_equal(HUGE_2M, run_from(KERNEL, map.v + PAGE_BYTES).page_bytes);
}

static void devices_that_cannot_be_are_refused(void **state)
{
    (void)state;
    vaddr_t va = VA(1);
    assert_int_equal(MM_INVAL, vmm_map_device("x", PA(DEVICE), 0, CACHE_UC, &va));
    assert_int_equal(MM_INVAL, vmm_map_device(NULL, PA(DEVICE), 1, CACHE_UC, &va));
    assert_int_equal(MM_INVAL, vmm_map_device("x", PA(DEVICE), 1, 6, &va));
    assert_int_equal(MM_RANGE, vmm_map_device("x", PA(1ull << 46), 1, CACHE_UC, &va));
    assert_int_equal(MM_RANGE, vmm_map_device("x", PA(DEVICE), 1ull << 46, CACHE_UC, &va));
    assert_int_equal(MM_RANGE, vmm_map_device("x", PA(DEVICE), ~0ull, CACHE_UC, &va));
    assert_int_equal(MM_RANGE, vmm_map_device("x", PA(DEVICE), 1ull << 42, CACHE_UC, &va));
    assert_int_equal(1, va.v);
}

static void dma_memory_is_contiguous_and_within_limits(void **state)
{
    (void)state;
    const struct vmm_want want = {.name = "dma", .npages = 20, .prot = RW};
    const struct pmm_limits limits = {.max_addr = PA(RAM_BASE + 16 * MIB)};
    const struct pmm_limits impossible = {.max_addr = PA(RAM_BASE)};
    vaddr_t va;
    paddr_t pa;
    assert_int_equal(MM_OK, vmm_alloc_dma(&want, &limits, &va, &pa));
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(0, read_at(KERNEL, va.v + i * PAGE_BYTES));
        assert_int_equal(pa.v + i * PAGE_BYTES,
                         walk(KERNEL->space.root.v, va.v + i * PAGE_BYTES).pa);
    }
    assert_true(pa.v + 20 * PAGE_BYTES <= RAM_BASE + 16 * MIB);
    assert_int_equal(MM_NOMEM, vmm_alloc_dma(&want, &impossible, &va, &pa));
    check_everything();
    vmm_free_range(va);
    assert_false(pmm_is_used(pa));
    assert_int_equal(MM_OK, vmm_alloc_dma(&want, NULL, &va, &pa));
    free_pages(KERNEL, va.v + 3 * PAGE_BYTES, 5);
}

/* --- No memory -------------------------------------------------------------------- */

static vaddr_t made, reserved;
static paddr_t made_pa;

static mm_status_t make_now(void)
{
    const struct vmm_want want = {.name = "now", .npages = 1300, .prot = RW};
    return vmm_alloc(KERNEL, &want, &made);
}

static mm_status_t make_lazy(void)
{
    const struct vmm_want want = {.name = "z", .npages = 70000, .prot = RW, .backing = VMM_LAZY};
    return vmm_alloc(KERNEL, &want, &made);
}

static mm_status_t make_device(void)
{
    return vmm_map_device("d", PA(DEVICE + 0x7000), 3 * HUGE_2M, CACHE_UC, &made);
}

static mm_status_t make_dma(void)
{
    const struct vmm_want want = {.name = "dma", .npages = 600, .prot = RW};
    return vmm_alloc_dma(&want, NULL, &made, &made_pa);
}

static mm_status_t make_stack(void)
{
    return vmm_alloc_stack("stack", 9, &made);
}

static mm_status_t free_middle(void)
{
    return vmm_free(KERNEL, va_add(reserved, 100 * PAGE_BYTES), 1700);
}

static mm_status_t free_front(void)
{
    return vmm_free(KERNEL, reserved, 100);
}

static mm_status_t free_end(void)
{
    return vmm_free(KERNEL, va_add(reserved, 1800 * PAGE_BYTES), 248);
}

static mm_status_t commit_now(void)
{
    return vmm_commit(KERNEL, va_add(reserved, 100 * PAGE_BYTES), 1700, VMM_NOW);
}

static mm_status_t commit_lazy(void)
{
    return vmm_commit(KERNEL, va_add(reserved, 100 * PAGE_BYTES), 1700, VMM_LAZY);
}

static mm_status_t decommit(void)
{
    return vmm_decommit(KERNEL, va_add(reserved, 100 * PAGE_BYTES), 1700);
}

static mm_status_t protect(void)
{
    return vmm_protect(KERNEL, va_add(reserved, 100 * PAGE_BYTES), 1700, PROT_READ);
}

static mm_status_t lock(void)
{
    return vmm_lock(KERNEL, va_add(reserved, 100 * PAGE_BYTES), 1700);
}

/* Half of it is there, half is not, and some pages of each are the other; the range [100, 1800)
 * cuts large entries at both ends. */
static void make_mixed(void)
{
    const struct vmm_want want = {.name = "r", .npages = 2048, .prot = RW, .backing = VMM_RESERVED};
    assert_int_equal(MM_OK, vmm_alloc(KERNEL, &want, &reserved));
    assert_int_equal(MM_OK, vmm_commit(KERNEL, va_add(reserved, 1024 * PAGE_BYTES), 1024, VMM_NOW));
    assert_int_equal(MM_OK, vmm_commit(KERNEL, va_add(reserved, 600 * PAGE_BYTES), 1, VMM_NOW));
    assert_int_equal(MM_OK, vmm_decommit(KERNEL, va_add(reserved, 1100 * PAGE_BYTES), 3));
    assert_int_equal(MM_OK, vmm_protect(KERNEL, va_add(reserved, 700 * PAGE_BYTES), 9, PROT_READ));
}

static void without_memory_nothing_has_happened(void **state)
{
    (void)state;
    static const struct {
        mm_status_t (*run)(void);
        bool fills; /* a failure may leave pages that were lazy filled */
        unsigned least;
    } cases[] = {
        {make_now, false, 5},    {make_lazy, false, 1},  {make_device, false, 1},
        {make_dma, false, 2},    {make_stack, false, 1}, {free_middle, false, 1},
        {free_front, false, 1},  {free_end, false, 1},   {commit_now, false, 4},
        {commit_lazy, false, 1}, {decommit, false, 1},   {protect, false, 1},
        {lock, true, 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        unsigned k = 1;
        for (;; k++) {
            make_mixed();
            uint64_t before = dump(KERNEL, cases[i].fills);
            machine_fail_allocation(k);
            mm_status_t status = cases[i].run();
            bool failed = machine_failed();
            if (status != MM_OK) {
                assert_true(failed);
                assert_int_equal(MM_NOMEM, status);
                assert_int_equal(before, dump(KERNEL, cases[i].fills));
            }
            check_everything();
            for (struct vmm_range r = {0}; vmm_next_range(&r); r.npages = 0)
                vmm_free_range(r.va);
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
        TEST(a_range_is_zeroed_and_between_guards),
        TEST(a_lazy_range_is_filled_on_touch),
        TEST(small_pages_are_small),
        TEST(a_reserved_range_is_backed_by_commit),
        TEST(reserving_a_tebibyte_costs_little),
        TEST(what_cannot_be_is_refused),
        TEST(ranges_are_found_by_name),
        TEST(every_page_of_a_range_finds_it),
        TEST(a_part_that_is_freed_leaves_two_ranges),
        TEST(without_memory_a_guard_stays_large),
        TEST(what_a_record_does_not_cover_is_no_range),
        TEST(freeing_what_is_no_range_is_misuse),
        TEST(devices_are_mapped_with_one_type),
        TEST(what_a_device_has_is_not_mapped_with_another_type),
        TEST(ram_is_mapped_as_the_direct_map_shows_it),
        TEST(large_devices_get_large_pages),
        TEST(devices_that_cannot_be_are_refused),
        TEST(dma_memory_is_contiguous_and_within_limits),
        TEST(without_memory_nothing_has_happened),
    };
    return cmocka_run_group_tests_name("virtual memory of the kernel", tests, NULL, NULL);
}
