/* Owns: the page fault.
 * Relies on: vmm to resolve it, copy for where the kernel may touch ring 3's memory. Stage: after
 * fault_init, on any CPU, also in a copy and in the kernel's own windows. */
#include "user/fault.h"

#include "cpu/cpus.h"
#include "cpu/ring3.h"
#include "cpu/traps.h"
#include "panic/panic.h"
#include "user/copy.h"
#include "user/thread.h"

#define FLAG_INTERRUPT 0x200u

/* The space in which such a fault may be resolved; NULL: in none. The kernel touches ring 3's half in the
 * copy functions only, and its own memory that is not there yet only in the windows: wherever else it
 * faults is a bug, perhaps in the middle of memory management, which must not be asked then. What ring 3
 * touches without its own rights (a CPU's access to its tables) is not for it. */
static struct vm *space_of(const struct trap_frame *frame, uint64_t address)
{
    const uint64_t known = FAULT_PRESENT | FAULT_WRITE | FAULT_USER | FAULT_FETCH;
    if ((frame->error & ~known) || panic_under_way())
        return NULL;
    if (address < ring3_end()) {
        bool allowed =
            trap_is_from_user(frame) ? frame->error & FAULT_USER : copy_resume(frame->rip) != 0;
        return allowed && vmm_current() != vmm_kernel() ? vmm_current() : NULL;
    }
    bool window = address - VMM_WINDOW_BASE < VMM_WINDOW_END - VMM_WINDOW_BASE;
    return window && !trap_is_from_user(frame) ? vmm_kernel() : NULL;
}

/* With interrupts as they were where it happened. */
static enum vmm_fault resolve(const struct trap_frame *frame, uint64_t address)
{
    struct vm *vm = space_of(frame, address);
    if (!vm)
        return VMM_FORBIDDEN;
    unsigned access = frame->error & FAULT_FETCH   ? VMM_FETCH
                      : frame->error & FAULT_WRITE ? VMM_WRITE
                                                   : VMM_READ;
    if (address < ring3_end())
        access |= VMM_USER;
    if (frame->rflags & FLAG_INTERRUPT)
        __asm__ volatile("sti" ::: "memory");
    enum vmm_fault result = vmm_fault(vm, VA(address), access);
    __asm__ volatile("cli" ::: "memory");
    return result;
}

static void on_page_fault(struct trap_frame *frame)
{
    uint64_t address; /* first: the next fault overwrites it */
    __asm__ volatile("movq %%cr2, %0" : "=r"(address));
    enum vmm_fault result = resolve(frame, address);
    if (result == VMM_RESOLVED)
        return;
    uint64_t resume = copy_resume(frame->rip);
    __asm__ volatile("movq %0, %%cr2" ::"r"(address)); /* for those who look there */
    if (trap_is_from_user(frame)) {
        cpu_current()->user->address = address;
        cpu_current()->user->why = result;
        user_kill(frame);
    }
    if (resume != 0 && address < ring3_end())
        frame->rip = resume;
    else
        traps_fail(frame);
}

void fault_init(void)
{
    traps_set(TRAP_PAGE_FAULT, on_page_fault);
}
