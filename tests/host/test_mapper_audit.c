/* Whether an audit of the kernel's address space notices when the tables are not what the list
 * says. */
#include "mapper_rig.h"

static struct mapper_audit audit_of_damage(uint64_t va, prot_t prot, cache_t cache)
{
    struct mapper_audit audit;
    space.allow_wx = true;
    assert_true(mapper_audit(&space, &audit));
    assert_int_equal(MM_OK, paging_protect(&space, VA(va), 1, prot, cache));
    assert_false(mapper_audit(&space, &audit));
    return audit;
}

static void the_audit_finds_a_page_that_is_writable_and_executable(void **state)
{
    (void)state;
    uint64_t va = input.text.start.v + 3 * PAGE_BYTES;
    struct mapper_audit audit =
        audit_of_damage(va, PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GLOBAL, CACHE_WB);
    assert_int_equal(1, audit.writable_executable);
    assert_int_equal(1, audit.mismatched);
    assert_int_equal(0, audit.outside_ranges + audit.user_accessible);
    assert_int_equal(va, audit.first_bad.v);
}

static void the_audit_finds_a_page_open_to_users(void **state)
{
    (void)state;
    /* The direct map of the simulated machine is in the lower half, where that is possible. */
    uint64_t va = hhdm.base.v + 2 * MIB;
    struct mapper_audit audit =
        audit_of_damage(va, PROT_READ | PROT_WRITE | PROT_USER | PROT_GLOBAL, CACHE_WB);
    assert_int_equal(1, audit.user_accessible);
    assert_int_equal(0, audit.outside_ranges + audit.writable_executable);
    assert_int_equal(va, audit.first_bad.v);
}

static void the_audit_finds_what_no_range_covers(void **state)
{
    (void)state;
    struct mapper_audit audit;
    const uint64_t places[] = {
        0,                     /* the null page */
        guards[1].start.v,     /* between two pieces */
        0x5000,                /* in front of all but one */
        -3 * PAGE_BYTES,       /* behind all */
        input.data.end.v,      /* right behind one */
        IMAGE_VA - PAGE_BYTES, /* right in front of one */
        WINDOWS - PAGE_BYTES,  /* right in front of the windows */
        WINDOWS_END,           /* right behind them */
    };
    for (size_t i = 0; i < COUNT(places); i++) {
        prot_t prot = PROT_READ | PROT_WRITE | PROT_GLOBAL;
        paddr_t pa = PA(FRAMEBUFFER);
        uint64_t npages = places[i] == guards[1].start.v ? 1 : places[i] == 0 ? 2 : 1;
        assert_int_equal(MM_OK, paging_map(&space, VA(places[i]), pa, npages, prot, CACHE_WB));
        assert_false(mapper_audit(&space, &audit));
        assert_int_equal(npages, audit.outside_ranges);
        assert_int_equal(0, audit.mismatched);
        assert_int_equal(places[i], audit.first_bad.v);
        assert_int_equal(MM_OK, paging_unmap(&space, VA(places[i]), npages));
        assert_true(mapper_audit(&space, &audit));
    }
    /* A run that is contiguous with a range on both sides of it, too. */
    paddr_t behind = pa_add(map.image_pa, va_diff(VA(IMAGE_VA), input.data.end));
    assert_int_equal(MM_OK, paging_map(&space, input.data.end, behind, 2,
                                       PROT_READ | PROT_WRITE | PROT_GLOBAL, CACHE_WB));
    assert_false(mapper_audit(&space, &audit));
    assert_int_equal(2, audit.outside_ranges);
}

static void the_windows_may_hold_anything_but_what_breaks_the_rules(void **state)
{
    (void)state;
    struct mapper_audit before, audit;
    const prot_t rw = PROT_READ | PROT_WRITE | PROT_GLOBAL;
    const paddr_t pa = PA(FRAMEBUFFER);
    assert_true(mapper_audit(&space, &before));
    assert_int_equal(MM_OK, paging_map(&space, VA(WINDOWS), pa, 1, rw, CACHE_WC));
    assert_int_equal(MM_OK, paging_map(&space, VA(WINDOWS_END - HUGE_2M), pa, 512, rw, CACHE_UC));
    assert_true(mapper_audit(&space, &audit));
    assert_int_equal(before.pages_4k + 1, audit.pages_4k);
    assert_int_equal(before.pages_2m + 1, audit.pages_2m);

    space.allow_wx = true;
    assert_int_equal(MM_OK, paging_protect(&space, VA(WINDOWS), 1, rw | PROT_EXEC, CACHE_WB));
    assert_false(mapper_audit(&space, &audit));
    assert_int_equal(1, audit.writable_executable);
    assert_int_equal(WINDOWS, audit.first_bad.v);
    assert_int_equal(MM_OK, paging_unmap(&space, VA(WINDOWS), 1));
    assert_true(mapper_audit(&space, &audit));

    /* One run over a border is not the vmm's: all of it counts. */
    assert_int_equal(MM_OK,
                     paging_map(&space, VA(WINDOWS_END), pa_add(pa, HUGE_2M), 512, rw, CACHE_UC));
    assert_false(mapper_audit(&space, &audit));
    assert_int_equal(1024, audit.outside_ranges);
    assert_int_equal(0, audit.mismatched);
}

static void the_audit_sees_the_borders_inside_a_run(void **state)
{
    (void)state;
    /* Data without guards, but with a hole in front; then the hole is filled so that it all is one
     * run, from rodata's end on. */
    input.nguards = 0;
    input.data.start = va_add(input.rodata.end, 2 * PAGE_BYTES);
    build();
    struct mapper_audit audit;
    assert_true(mapper_audit(&space, &audit));
    paddr_t behind_rodata = pa_add(map.image_pa, va_diff(VA(IMAGE_VA), input.rodata.end));
    assert_int_equal(MM_OK, paging_map(&space, input.rodata.end, behind_rodata, 2,
                                       PROT_READ | PROT_WRITE | PROT_GLOBAL, CACHE_WB));
    assert_false(mapper_audit(&space, &audit));
    assert_int_equal(2, audit.outside_ranges);
    assert_int_equal(0, audit.mismatched);
    assert_int_equal(input.rodata.end.v, audit.first_bad.v);
}

static void the_audit_finds_what_is_not_as_listed(void **state)
{
    (void)state;
    uint64_t va = input.rodata.start.v;
    struct mapper_audit audit = audit_of_damage(va, PROT_READ | PROT_WRITE | PROT_GLOBAL, CACHE_WB);
    assert_int_equal(1, audit.mismatched);
    assert_int_equal(MM_OK, paging_protect(&space, VA(va), 1, PROT_READ | PROT_GLOBAL, CACHE_UC));
    assert_false(mapper_audit(&space, &audit)); /* the memory type */
    assert_int_equal(MM_OK, paging_unmap(&space, VA(va), 2));
    assert_false(mapper_audit(&space, &audit)); /* not there at all */
    assert_int_equal(2, audit.mismatched);
    paddr_t elsewhere = pa_add(map.image_pa, 70 * PAGE_BYTES);
    assert_int_equal(MM_OK,
                     paging_map(&space, VA(va), elsewhere, 2, PROT_READ | PROT_GLOBAL, CACHE_WB));
    assert_false(mapper_audit(&space, &audit)); /* other memory */
    assert_int_equal(2, audit.mismatched);
}

static void a_cpu_without_nx_or_global_pages_passes_the_audit(void **state)
{
    (void)state;
    machine.cpu.nx = false;
    machine.cpu.global = false;
    machine.cpu.page_1g = false;
    build();
    struct mapper_audit audit;
    assert_true(mapper_audit(&space, &audit));
    assert_int_equal(0, audit.pages_1g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SPACE(the_audit_finds_a_page_that_is_writable_and_executable),
        WITH_SPACE(the_audit_finds_a_page_open_to_users),
        WITH_SPACE(the_audit_finds_what_no_range_covers),
        WITH_SPACE(the_windows_may_hold_anything_but_what_breaks_the_rules),
        WITH_INPUT(the_audit_sees_the_borders_inside_a_run),
        WITH_SPACE(the_audit_finds_what_is_not_as_listed),
        WITH_INPUT(a_cpu_without_nx_or_global_pages_passes_the_audit),
    };
    return cmocka_run_group_tests_name("mapper audit", tests, NULL, NULL);
}
