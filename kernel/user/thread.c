/* Owns: which thread runs on each CPU; its way in and out; its time slice.
 * Relies on: ring3 for the change of rings, vmm for the space, clock for the slice. Stage: after
 * user_init.
 *
 * A thread has no stack in the kernel: its traps come on the stack of the CPU, right below the frame of
 * user_run, and are over before user_run goes on. So there is one flow of control on each CPU. */
#include "user/thread.h"

#include "check.h"
#include "cpu/clock.h"
#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "cpu/lapic.h"
#include "cpu/ring3.h"
#include "mm/kasan.h"
#include "mm/port.h"
#include "user/fault.h"
#include "user/syscall.h"

struct run {
    struct user_thread *thread;
    unsigned slice_usec;
};

void user_start(struct user_thread *thread, vaddr_t entry, vaddr_t stack)
{
    thread->registers = (struct trap_frame){.rip = va_number(entry), .rsp = va_number(stack)};
    thread->pkru = 0;
}

/* An instruction at the very end of the lower half has a next one that is not canonical. The return to
 * it would fault in ring 0, on some CPUs with the stack of ring 3: say ourselves what it would be. */
static bool can_go_on(struct trap_frame *registers)
{
    if (registers->rip < ring3_end())
        return true;
    registers->vector = TRAP_GENERAL_PROTECTION;
    registers->error = 0;
    return false;
}

static void run(void *argument)
{
    const struct run *what = argument;
    struct user_thread *thread = what->thread;
    struct cpu *cpu = cpu_current();
    struct vm *before = vmm_current();
    bool keys = port_cpu()->pkeys;
    ASSERT(!cpu->user);
    thread->event = USER_KILLED;
    if (!can_go_on(&thread->registers))
        return;

    if (thread->vm != before)
        vmm_switch(thread->vm);
    cpu->slice_over = false;
    bool sliced = what->slice_usec > 0 && clock_slice_start(what->slice_usec);
    __asm__ volatile("cli" ::: "memory");
    cpu->user = thread;
    ring3_make_safe(&thread->registers);
    if (keys)
        cpu_set_pkru(thread->pkru);
    ring3_enter(&thread->registers);
    kasan_stack_left();
    if (keys)
        cpu_set_pkru(0);
    cpu->user = NULL;
    __asm__ volatile("sti" ::: "memory");
    if (sliced)
        clock_slice_stop();
    if (thread->vm != before)
        vmm_switch(before);
}

/* An exception in it is no business of a traps_try that user_run is called in. */
enum user_event user_run(struct user_thread *thread, unsigned slice_usec)
{
    struct run what = {thread, slice_usec};
    traps_aside(run, &what);
    return thread->event;
}

_Noreturn void user_stop(const struct trap_frame *frame, enum user_event event)
{
    __asm__ volatile("cli" ::: "memory");
    struct user_thread *thread = cpu_current()->user;
    ASSERT(thread);
    thread->registers = *frame;
    thread->event = event;
    if (port_cpu()->pkeys)
        thread->pkru = cpu_pkru();
    ring3_leave();
}

_Noreturn void user_kill(const struct trap_frame *frame)
{
    user_stop(frame, USER_KILLED);
}

void user_return(struct trap_frame *frame)
{
    __asm__ volatile("cli" ::: "memory");
    if (!can_go_on(frame))
        user_kill(frame);
    if (cpu_current()->slice_over)
        user_stop(frame, USER_SLICE_OVER);
    ring3_make_safe(frame);
}

/* The kernel may be at work for the thread: that is ended first, and user_return looks. */
static void on_slice(struct trap_frame *frame)
{
    (void)frame;
    lapic_end();
    cpu_current()->slice_over = true;
}

void user_init(void)
{
    traps_set(VECTOR_SLICE, on_slice);
    fault_init();
    syscall_init();
}
