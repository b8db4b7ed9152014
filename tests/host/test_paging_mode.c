/* efi/paging_mode.c: which levels a kernel gets, by its request, on which machine. */
#include "test.h"

#include "paging_mode.h"

static struct limine_paging_mode_request request(uint64_t revision, uint64_t mode, uint64_t max,
                                                 uint64_t min)
{
    return (struct limine_paging_mode_request){
        .head = {.revision = revision}, .mode = mode, .max_mode = max, .min_mode = min};
}

static void a_kernel_that_says_nothing_wants_4_levels(void **state)
{
    (void)state;
    struct paging_modes m = paging_modes_of(NULL);
    assert_true(m.mode == 0 && m.max == 0 && m.min == 0);
}

static void revision_0_has_only_a_preference_and_all_below_it_will_do(void **state)
{
    (void)state;
    for (uint64_t mode = 0; mode < 3; mode++) {
        struct limine_paging_mode_request r = request(0, mode, 77, 66); /* what lies behind it */
        struct paging_modes m = paging_modes_of(&r);
        assert_true(m.mode == mode && m.max == mode && m.min == 0);
    }
}

static void later_revisions_say_it_all(void **state)
{
    (void)state;
    for (uint64_t revision = 1; revision < 4; revision++) {
        struct limine_paging_mode_request r = request(revision, 1, 2, 3);
        struct paging_modes m = paging_modes_of(&r);
        assert_true(m.mode == 1 && m.max == 2 && m.min == 3);
    }
}

/* What the protocol says, by trying: of the modes that both can do the preferred one, else that
 * which is nearest to it. */
static void the_nearest_common_mode_is_chosen(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 2, 7, UINT64_MAX};
    static const struct {
        uint64_t lowest, highest;
    } machines[] = {{0, 0}, {0, 1}, {1, 1}};
    size_t chosen = 0, refused = 0;
    for (size_t n = 0; n < 5 * 5 * 5 * COUNT(machines); n++) {
        const struct paging_modes kernel = {values[n % 5], values[n / 5 % 5], values[n / 25 % 5]};
        const uint64_t lowest = machines[n / 125].lowest, highest = machines[n / 125].highest;
        uint64_t wanted = UINT64_MAX, distance = UINT64_MAX, mode = 99;
        for (uint64_t m = lowest; m <= highest; m++) {
            uint64_t far = m > kernel.mode ? m - kernel.mode : kernel.mode - m;
            if (m < kernel.min || m > kernel.max || (wanted != UINT64_MAX && far >= distance))
                continue;
            wanted = m;
            distance = far;
        }
        bool possible = paging_mode_choose(&kernel, lowest, highest, &mode);
        assert_true(possible == (wanted != UINT64_MAX));
        assert_int_equal(mode, possible ? wanted : 99);
        chosen += possible;
        refused += !possible;
    }
    assert_true(chosen > 50 && refused > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kernel_that_says_nothing_wants_4_levels),
        cmocka_unit_test(revision_0_has_only_a_preference_and_all_below_it_will_do),
        cmocka_unit_test(later_revisions_say_it_all),
        cmocka_unit_test(the_nearest_common_mode_is_chosen),
    };
    return cmocka_run_group_tests_name("paging_mode", tests, NULL, NULL);
}
