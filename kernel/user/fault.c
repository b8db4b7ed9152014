/* Owns: the page fault.
 * Relies on: vmm to resolve it. Stage: after fault_init, on any CPU, in the kernel's own windows. */
#include "user/fault.h"

#include "cpu/traps.h"
#include "mm/vmm.h"

#define FLAG_INTERRUPT 0x200u

/* The kernel touches its own memory that is not there yet only in the windows: wherever else it
 * faults is a bug, perhaps in the middle of memory management, which must not be asked then. */
static enum vmm_fault resolve(const struct trap_frame *frame, uint64_t address)
{
    const uint64_t known = FAULT_PRESENT | FAULT_WRITE | FAULT_FETCH;
    if ((frame->error & ~known) || address - VMM_WINDOW_BASE >= VMM_WINDOW_END - VMM_WINDOW_BASE)
        return VMM_FORBIDDEN;
    unsigned access = frame->error & FAULT_FETCH   ? VMM_FETCH
                      : frame->error & FAULT_WRITE ? VMM_WRITE
                                                   : VMM_READ;
    if (frame->rflags & FLAG_INTERRUPT)
        __asm__ volatile("sti" ::: "memory");
    enum vmm_fault result = vmm_fault(vmm_kernel(), VA(address), access);
    __asm__ volatile("cli" ::: "memory");
    return result;
}

static void on_page_fault(struct trap_frame *frame)
{
    uint64_t address; /* first: the next fault overwrites it */
    __asm__ volatile("movq %%cr2, %0" : "=r"(address));
    if (resolve(frame, address) == VMM_RESOLVED)
        return;
    __asm__ volatile("movq %0, %%cr2" ::"r"(address)); /* for those who look there */
    traps_fail(frame);
}

void fault_init(void)
{
    traps_set(TRAP_PAGE_FAULT, on_page_fault);
}
