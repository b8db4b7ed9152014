/* Owns: the system calls.
 * Relies on: copy for ring 3's memory, vmm for what is asked of it. Stage: after user_init; on the stack
 * of the CPU, in the thread's address space, interrupts on. */
#include "user/syscall.h"

#include "console/print.h"
#include "cpu/cpus.h"
#include "user/copy.h"
#include "user/thread.h"

struct call {
    struct user_thread *thread;
    uint64_t a, b, c;
};

static int64_t status_result(mm_status_t status)
{
    return -(int64_t)status;
}

static int64_t sys_number(const struct call *call)
{
    return (int64_t)call->thread->number;
}

static int64_t sys_write(const struct call *call)
{
    struct user_thread *thread = call->thread;
    char text[SYS_WRITE_MAX + 1];
    if (call->b > SYS_WRITE_MAX)
        return status_result(MM_RANGE);
    if (user_copy_in(text, VA(call->a), call->b) != 0)
        return status_result(MM_NOTFOUND);
    for (size_t i = 0; i < call->b; i++)
        if (text[i] < ' ' || text[i] > '~') /* it is no terminal's business what a thread thinks */
            text[i] = '?';
    text[call->b] = '\0';
    if (thread->listen)
        thread->listen(thread, text);
    else
        kprintf("thread %lu: %s\n", thread->number, text);
    return (int64_t)call->b;
}

/* Rights that make sense for ring 3; all else in a range is not its choice. */
static bool is_prot(uint64_t prot)
{
    return (prot & ~(uint64_t)(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_KEY(15))) == 0;
}

static int64_t sys_alloc(const struct call *call)
{
    vaddr_t va;
    if (!is_prot(call->b))
        return status_result(MM_INVAL);
    const struct vmm_want want = {.npages = call->a, .prot = (prot_t)call->b, .backing = VMM_LAZY};
    mm_status_t status = vmm_alloc(call->thread->vm, &want, &va);
    return status == MM_OK ? (int64_t)va_number(va) : status_result(status);
}

static int64_t sys_free(const struct call *call)
{
    return status_result(vmm_free(call->thread->vm, VA(call->a), call->b));
}

static int64_t sys_protect(const struct call *call)
{
    if (!is_prot(call->c))
        return status_result(MM_INVAL);
    return status_result(vmm_protect(call->thread->vm, VA(call->a), call->b, (prot_t)call->c));
}

static int64_t (*const calls[])(const struct call *call) = {
    [SYS_NUMBER] = sys_number, [SYS_WRITE] = sys_write,     [SYS_ALLOC] = sys_alloc,
    [SYS_FREE] = sys_free,     [SYS_PROTECT] = sys_protect,
};

static void on_syscall(struct trap_frame *frame)
{
    uint64_t number = frame->rax;
    struct call call = {cpu_current()->user, frame->rdi, frame->rsi, frame->rdx};
    if (number == SYS_EXIT) {
        call.thread->code = call.a;
        user_stop(frame, USER_EXITED);
    }
    if (number == SYS_YIELD) {
        frame->rax = 0;
        user_stop(frame, USER_YIELDED);
    }
    frame->rax = (uint64_t)status_result(MM_INVAL);
    if (number >= sizeof calls / sizeof calls[0]) /* those that are not in there are above */
        return;
    __asm__ volatile("sti" ::: "memory"); /* user_return closes it again */
    frame->rax = (uint64_t)calls[number](&call);
}

void syscall_init(void)
{
    traps_set(TRAP_SYSCALL, on_syscall);
}
