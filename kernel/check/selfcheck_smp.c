/* Owns: the checks of what several CPUs do together: the stress tests, short and with few CPUs.
 * Relies on: stress.c. Stage: after cpus_start; with one CPU there is nothing to check. */
#include "check/selfcheck_parts.h"
#include "check/stress_parts.h"
#include "cpu/cpus.h"

/* With more the boot would be slow where many virtual CPUs share few real ones: who waits for a
 * lock then spins away the time of the one whose turn it is. */
#define CREW_MAX  4
#define CREW_PAIR 2 /* for what takes locks all the time */

static bool passes(void (*run)(void), unsigned limit, unsigned rounds)
{
    const struct stress_test test = {.run = run};
    return cpu_set_count(cpus_online()) == 1 || stress_one(&test, limit, rounds);
}

static bool calls_reach_all(void)
{
    EXPECT(passes(stress_storm, CREW_MAX, 2));
    return true;
}

static bool barriers_reach_all(void)
{
    EXPECT(passes(stress_barrier, CREW_MAX, 1));
    return true;
}

static bool unmapped_pages_fault(void)
{
    EXPECT(passes(stress_unmap, CREW_MAX, 2));
    return true;
}

static bool protections_hold(void)
{
    EXPECT(passes(stress_protect, CREW_MAX, CREW_MAX));
    return true;
}

static bool ranges_come_and_go(void)
{
    EXPECT(passes(stress_ranges, CREW_MAX, 3));
    return true;
}

static bool pages_are_filled_once(void)
{
    EXPECT(passes(stress_touch, CREW_MAX, 2));
    return true;
}

static bool contents_are_kept(void)
{
    EXPECT(passes(stress_mixed, CREW_PAIR, 1));
    return true;
}

static bool objects_are_freed_elsewhere(void)
{
    EXPECT(passes(stress_heap, CREW_MAX, 2));
    return true;
}

static const struct selfcheck smp_checks[] = {
    {"CPUs: calls reach each of them", calls_reach_all},
    {"CPUs: a barrier waits for each of them", barriers_reach_all},
    {"CPUs: an unmapped page faults on others", unmapped_pages_fault},
    {"CPUs: a changed protection holds on others", protections_hold},
    {"CPUs: kernel ranges come and go", ranges_come_and_go},
    {"CPUs: a page that all touch is filled once", pages_are_filled_once},
    {"CPUs: frames, heap and mappings keep contents", contents_are_kept},
    {"CPUs: objects are freed by others", objects_are_freed_elsewhere},
};
const struct selfcheck_part selfcheck_smp = {smp_checks, sizeof smp_checks / sizeof smp_checks[0]};
