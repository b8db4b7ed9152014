/* Owns: the stress test of frames and heap objects allocated in interrupt handlers.
 * Relies on: stress.c, crew.c, calls. Stage: after cpus_start.
 *
 * Each CPU of the crew allocates, marks and frees without a pause, and has its neighbour do the same
 * in between, in an interrupt that comes wherever the neighbour is: often in the middle of a call.
 * A frame or an object that two have at once does not keep its mark. */
#include "check/stress_parts.h"
#include "cpu/cpus.h"
#include "mm/heap.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"

#define RUNS        48 /* that are held at once: more than a row, so that not all calls are fast */
#define RUN_FRAMES  8  /* the others are single frames */
#define CALL_RARITY 4  /* an interrupt for so many turns of one's own */
#define TURNS       16 /* in a round */

static uint64_t next_mark; /* atomic */

static void take_and_give_objects(uint64_t mark)
{
    const struct heap_want want = {.flags = HEAP_NOWAIT};
    uint64_t *objects[RUNS];
    for (unsigned i = 0; i < RUNS; i++) {
        objects[i] = kmalloc_want(i % 4 ? 64 : 4096, &want);
        if (STRESS_CHECK(objects[i] != NULL))
            *objects[i] = mark;
    }
    for (unsigned i = 0; i < RUNS; i++) {
        STRESS_CHECK(!objects[i] || *objects[i] == mark);
        kfree(objects[i]);
    }
}

static void take_and_give(void *argument)
{
    paddr_t runs[RUNS];
    uint64_t mark = __atomic_add_fetch(&next_mark, 1, __ATOMIC_RELAXED);
    unsigned taken = 0;
    (void)argument;
    take_and_give_objects(mark);
    for (unsigned i = 0; i < RUNS; i++) {
        if (!STRESS_CHECK(pmm_alloc_frames(i % 2 ? RUN_FRAMES : 1, NULL, &runs[i]) == MM_OK))
            break;
        *(uint64_t *)phys_to_virt(runs[i]) = mark;
        taken++;
    }
    for (unsigned i = 0; i < taken; i++) {
        STRESS_CHECK(*(uint64_t *)phys_to_virt(runs[i]) == mark);
        STRESS_CHECK(pmm_free_frames(runs[i], i % 2 ? RUN_FRAMES : 1) == MM_OK);
    }
}

static void interrupt_on(unsigned number)
{
    unsigned neighbour = crew.cpus[(number + 1) % crew.n];
    for (unsigned round = 0; round < stress.rounds; round++) {
        for (unsigned turn = 0; turn < TURNS; turn++) {
            take_and_give(NULL);
            if (turn % CALL_RARITY == 0)
                STRESS_CHECK(cpus_call(neighbour, take_and_give, NULL));
        }
        stress_count(TURNS + TURNS / CALL_RARITY);
    }
}

void stress_interrupts(void)
{
    crew_run(interrupt_on);
}
