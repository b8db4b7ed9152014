/* Owns: the stress test of ring 3: one space on all CPUs at once, copies of it on each.
 * Relies on: stress.c, crew.c, user_room.c. Stage: after cpus_start.
 *
 * In each round all CPUs count in the same pages, which nobody has touched before. Then each takes a
 * copy of the space, while the others do the same, and counts in that: what it finds there is the
 * sum of all, and nobody else's sum changes. */
#include "check/stress.h"
#include "check/stress_parts.h"
#include "check/user_room.h"
#include "mm/heap.h"
#include "user/copy.h"

#define TIMES      16
#define SLICE_USEC 300

static struct room origin;
static struct room *copies; /* one for each of the crew */

static void count_in(struct user_thread *thread)
{
    const vaddr_t program = va_add(ROOM_TEXT, (uint64_t)(payload_count - payload));
    user_start(thread, program, VA(0)); /* it needs no stack */
    thread->registers.rdi = va_number(ROOM_DATA);
    thread->registers.rsi = ROOM_DATA_PAGES;
    thread->registers.rdx = TIMES;
    while (user_run(thread, SLICE_USEC) == USER_SLICE_OVER)
        ;
    STRESS_CHECK(thread->event == USER_EXITED && thread->code == 0);
    stress_count(1);
}

static void check_counts(struct vm *vm, uint64_t expected)
{
    struct vm *before = vmm_current();
    vmm_switch(vm);
    for (uint64_t page = 0; page < ROOM_DATA_PAGES; page++) {
        uint64_t word = 0;
        vaddr_t va = va_add(ROOM_DATA, page * PAGE_BYTES);
        STRESS_CHECK(user_copy_in(&word, va, sizeof word) == 0 && word == expected);
    }
    vmm_switch(before);
}

static void count_together(unsigned number)
{
    struct user_thread *thread = &copies[number].thread;
    *thread = (struct user_thread){.vm = &origin.vm, .number = number};
    count_in(thread);
}

static void count_alone(unsigned number)
{
    struct room *copy = &copies[number];
    if (!STRESS_CHECK(vmm_clone(&origin.vm, &copy->vm, "copy") == MM_OK))
        return;
    copy->thread.vm = &copy->vm;
    count_in(&copy->thread);
    check_counts(&copy->vm, (crew.n + 1) * TIMES);
    vmm_destroy(&copy->vm);
}

void stress_user(void)
{
    copies = kcalloc(crew.n, sizeof *copies);
    if (!STRESS_CHECK(copies != NULL))
        return;
    for (unsigned round = 0; round < stress.rounds; round++) {
        if (!STRESS_CHECK(room_open(&origin, "stress")))
            break;
        crew_run(count_together);
        crew_run(count_alone);
        check_counts(&origin.vm, crew.n * TIMES);
        room_close(&origin);
    }
    kfree(copies);
}
