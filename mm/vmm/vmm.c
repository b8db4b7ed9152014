/* Owns: the spaces: the kernel's and the list of all, and which of them each CPU uses.
 * Relies on: paging. Stage: the kernel's is there from the start, the others from vmm_init on. */
#include "check.h"
#include "config.h"
#include "lock.h"
#include "mm/string.h"
#include "names.h"
#include "shares.h"
#include "vmm_state.h"
#include "window.h"

/* The least that is used of the windows, in pages: each 512 GiB take a table for ever. */
#define WINDOW_PAGES_MIN  (4ull << 28)
#define DEVICES_PAGES_MIN (2ull << 28)

static struct vm kernel = {.name = "kernel"};
static struct spinlock spaces_lock = SPINLOCK_INIT(LOCK_SPACES, "spaces");
static struct vm *current[CONFIG_CPUS_MAX]; /* NULL: the kernel's */

struct vm *vmm_kernel(void)
{
    return &kernel;
}

/* Addresses for so many times all of memory, as a power of two of pages. */
static uint64_t window_pages(uint64_t times, uint64_t least, uint64_t most)
{
    uint64_t wanted = hhdm.bytes / PAGE_BYTES * times;
    while (least < wanted && least < most)
        least *= 2;
    return least < most ? least : most;
}

/* The end of the one window and the beginning of the other: they are sealed together. */
mm_status_t vmm_init(void)
{
    uint64_t window =
        window_pages(16, WINDOW_PAGES_MIN, va_pages(VA(VMM_WINDOW_BASE), VA(VMM_WINDOW_END)));
    uint64_t devices =
        window_pages(1, DEVICES_PAGES_MIN, va_pages(VA(VMM_DEVICE_BASE), VA(VMM_DEVICE_END)));
    vaddr_t base = va_sub(VA(VMM_WINDOW_END), window * PAGE_BYTES);
    names_init();
    shares_init();
    memset(current, 0, sizeof current);
    kernel.next = NULL;
    kernel.faults = 0;
    kernel.end = va_page(VA(VMM_DEVICE_BASE), devices);
    kernel.space.hooks = &shares_hooks;
    mm_status_t status = window_init(base, window);
    return status == MM_OK ? paging_seal(&kernel.space, base, window + devices) : status;
}

/* Every CPU sees a space in the list only when it is complete. */
static void list(struct vm *vm)
{
    irq_state_t irq = spin_lock(&spaces_lock);
    vm->next = kernel.next;
    __atomic_store_n(&kernel.next, vm, __ATOMIC_RELEASE);
    spin_unlock(&spaces_lock, irq);
}

static void unlist(struct vm *vm)
{
    irq_state_t irq = spin_lock(&spaces_lock);
    struct vm **at = &kernel.next;
    while (*at != vm) {
        ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = vm->next;
    spin_unlock(&spaces_lock, irq);
}

static mm_status_t make(struct vm *out, const char *name)
{
    struct space space;
    mm_status_t status = paging_create_user(&space, &kernel.space);
    if (status != MM_OK)
        return status;
    *out = (struct vm){.space = space, .name = name, .hint = VMM_USER_BASE};
    out->space.hooks = &shares_hooks;
    out->end = user_end(out);
    return MM_OK;
}

mm_status_t vmm_create(struct vm *out, const char *name)
{
    mm_status_t status = make(out, name);
    if (status == MM_OK)
        list(out);
    return status;
}

mm_status_t vmm_clone(struct vm *from, struct vm *out, const char *name)
{
    mm_status_t status = make(out, name);
    if (status != MM_OK)
        return status;
    out->hint = __atomic_load_n(&from->hint, __ATOMIC_RELAXED);
    status = paging_clone(&from->space, &out->space);
    if (status == MM_OK)
        list(out);
    else
        paging_destroy(&out->space);
    return status;
}

void vmm_switch(struct vm *vm)
{
    irq_state_t irq = irq_save();
    paging_switch(&vm->space);
    current[port_cpu_id()] = vm;
    irq_restore(irq);
}

struct vm *vmm_current(void)
{
    struct vm *vm = current[port_cpu_id()];
    return vm != NULL ? vm : &kernel;
}

void vmm_destroy(struct vm *vm)
{
    ASSERT(vm != &kernel && cpu_set_is_empty(&vm->space.cpus));
    unlist(vm);
    paging_destroy(&vm->space);
}

uint64_t vmm_share_frames(void)
{
    return shares_frames();
}
