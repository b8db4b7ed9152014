/* kernel/boot/context.c: the CPUs that the loader has parked. */
#include "context_rig.h"

static void good_cpus_are_copied(void **state)
{
    (void)state;
    assert_quiet();
    const struct boot_context *c = boot_context();
    assert_true(c->have_cpus && !c->cpus_lost);
    assert_int_equal(c->bsp_lapic_id, 0x10);
    assert_int_equal(c->ncpus, CPUS - 1);
    for (uint32_t i = 0; i < CPUS - 1; i++) {
        assert_int_equal(c->cpus[i].lapic_id, 0x11 + i);
        assert_int_equal(c->cpus[i].acpi_uid, 1 + i);
        assert_int_equal((uint64_t)c->cpus[i].info, address_of(&loader.cpus[1 + i]));
    }
}

static void a_loader_without_mp_leaves_one_cpu(void **state)
{
    (void)state;
    *slot(REQUEST_MP) = 0;
    assert_quiet();
    assert_int_equal(boot_context()->ncpus, 0);
    assert_false(boot_context()->have_cpus || boot_context()->cpus_lost);
}

static void the_boot_cpu_may_be_anywhere_in_the_list(void **state)
{
    (void)state;
    loader.mp->bsp_lapic_id = 0x12;
    assert_quiet();
    assert_int_equal(boot_context()->ncpus, CPUS - 1);
    assert_int_equal(boot_context()->cpus[0].lapic_id, 0x10);
    assert_int_equal(boot_context()->bsp_acpi_uid, 2);
}

/* One line says what is wrong, the others come; the loader's memory may still be somebody's. */
static void assert_cpus_left_out(const char *line, size_t left)
{
    assert_complaint(line);
    assert_int_equal(boot_context()->ncpus, left);
    assert_true(boot_context()->cpus_lost);
}

static void bad_cpus_are_named_and_left_out(void **state)
{
    loader.cpus[2].lapic_id = 0x11;
    assert_cpus_left_out("MP: lapic_id 0x11 is in the list twice: the second one is left out",
                         CPUS - 2);
    loader.cpus[2].lapic_id = 0x10;
    assert_cpus_left_out("MP: lapic_id 0x10 is the boot CPU's, again", CPUS - 2);
    loader.cpus[2].lapic_id = 255;
    assert_cpus_left_out("MP: lapic_id 0xff cannot be reached in xAPIC mode", CPUS - 2);
    loader.mp->flags = LIMINE_MP_X2APIC;
    assert_quiet();
    loader.cpus[2].lapic_id = UINT32_MAX;
    assert_cpus_left_out("MP: lapic_id 0xffffffff means all CPUs", CPUS - 2);
    start(state);
    loader.cpus[1].goto_address = 1;
    assert_cpus_left_out("MP: lapic_id 0x11 was released by the loader already", CPUS - 2);
    start(state);
    loader.cpu_list[3] = 8;
    assert_cpus_left_out("MP: CPU 0x8 is below the direct map", CPUS - 2);
    start(state);
    loader.mp->cpus = 16;
    assert_cpus_left_out("MP: cpus 0x10 is below the direct map", 0);
    start(state);
    loader.map[2].type = MEM_ACPI_RECLAIMABLE; /* which we shall map read-only */
    assert_true(boots());
    assert_int_equal(boot_context()->ncpus, 0);
    assert_true(boot_context()->cpus_lost);
    start(state);
    loader.mp->bsp_lapic_id = 0x99;
    assert_complaint("MP: bsp_lapic_id 0x99 is not in the list");
}

static void absurd_numbers_of_cpus_are_survived(void **state)
{
    (void)state;
    loader.mp->cpu_count = UINT64_MAX;
    assert_true(boots());
    assert_non_null(strstr(log_text, "is more than CONFIG_CPUS_MAX: the rest stays off"));
    assert_true(boot_context()->cpus_lost);
    loader.mp->cpu_count = 0;
    assert_complaint("MP: cpu_count 0x0 cannot be");
    assert_int_equal(boot_context()->ncpus, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(good_cpus_are_copied),
        TEST(a_loader_without_mp_leaves_one_cpu),
        TEST(the_boot_cpu_may_be_anywhere_in_the_list),
        TEST(bad_cpus_are_named_and_left_out),
        TEST(absurd_numbers_of_cpus_are_survived),
    };
    return cmocka_run_group_tests_name("context cpus", tests, NULL, release);
}
