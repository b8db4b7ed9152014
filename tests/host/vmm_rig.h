/* What the tests of virtual memory share: a machine whose kernel space has the direct map and
 * windows, accesses as the CPU makes them, and a look at everything that must agree. */
#ifndef VMM_RIG_H
#define VMM_RIG_H

#include "machine.h"
#include "mm/hhdm.h"
#include "mm/vmm.h"
#include "test.h"
#include "walker.h"
#include "../../mm/vmm/shares.h"
#include "../../mm/vmm/window.h"

#define RW           (PROT_READ | PROT_WRITE)
#define RX           (PROT_READ | PROT_EXEC)
#define KERNEL       vmm_kernel()
#define PAGES(bytes) ((bytes) / PAGE_BYTES)

static uint64_t fixed; /* frames that are used for neither tables, pages nor records */

static inline uint64_t used_frames(void)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    return stats.used_kib * 1024 / FRAME_BYTES;
}

/* Frames in use that nobody answers for. */
static inline uint64_t unaccounted(void)
{
    struct vmm_audit audit;
    struct window_stats window;
    bool good;
    assert_int_equal(MM_OK, vmm_audit(&audit, &good));
    if (!good)
        fail_msg("audit: wx %lu, user %lu, twice %lu, miscounted %lu, not in use %lu, at %lx",
                 audit.writable_executable, audit.user_in_kernel, audit.mapped_twice,
                 audit.miscounted, audit.not_in_use, audit.first_bad.v);
    window_get_stats(&window);
    return used_frames() - audit.tables - audit.owned - window.frames - shares_frames();
}

/* A CPU without NX and without global pages, from the next start on. */
static bool without_nx;

static inline void start_machine(unsigned levels, uint64_t bytes)
{
    machine_start_simple(bytes);
    machine.cpu.levels = (uint8_t)levels;
    machine.cpu.pkeys = true;
    machine.cpu.nx = machine.cpu.global = !without_nx;
    struct space *space = &KERNEL->space;
    assert_int_equal(MM_OK, paging_create(space));
    space->kernel = true;
    assert_int_equal(MM_OK, paging_map(space, hhdm_address(PA(RAM_BASE)), PA(RAM_BASE),
                                       PAGES(bytes), RW | PROT_GLOBAL, CACHE_WB));
    paging_switch(space);
    assert_int_equal(MM_OK, vmm_init());
    fixed = unaccounted();
}

/* No frame is lost, and every table and count agrees. */
static inline void check_everything(void)
{
    uint64_t npages = 0;
    struct window_stats window;
    assert_int_equal(fixed, unaccounted());
    for (struct vm *vm = KERNEL; vm != NULL; vm = vm->next)
        assert_true(paging_validate(&vm->space));
    assert_true(window_validate());
    window_get_stats(&window);
    struct vmm_run run;
    vaddr_t cursor = VA(VMM_WINDOW_BASE);
    while (vmm_next(KERNEL, &cursor, &run) == MM_OK && run.va.v < VMM_WINDOW_END)
        npages += run.npages;
    assert_int_equal(npages, window.npages);
}

static inline int stop(void **state)
{
    (void)state;
    vmm_switch(KERNEL);
    check_everything();
    while (KERNEL->next != NULL)
        vmm_destroy(KERNEL->next);
    for (struct vmm_range r = {0}; vmm_next_range(&r); r.npages = 0)
        vmm_free_range(r.va);
    check_everything();
    assert_true(pmm_validate());
    paging_leave();
    port_set_root(PA(0));
    machine_stop();
    return 0;
}

/* --- Accesses, with the faults they take ------------------------------------------ */

/* Seconds: while others free a page it is still there for us, and the host may let them wait. */
#define NEVER_ENDS 20

/* An access in user or kernel mode: of modes, and of fetching, cpu_read knows nothing. */
static inline enum vmm_fault touch(struct vm *vm, uint64_t va, unsigned access, uint64_t *value)
{
    for (time_t began = time(NULL); time(NULL) - began < NEVER_ENDS;) {
        struct walk w = walk(port_get_root().v, va);
        bool may = (!(access & VMM_USER) || w.user) && (!(access & VMM_FETCH) || w.exec);
        if (may &&
            (access & VMM_WRITE ? cpu_write(va & ~7ull, *value) : cpu_read(va & ~7ull, value)))
            return VMM_RESOLVED;
        enum vmm_fault result = vmm_fault(vm, VA(va), access);
        if (result != VMM_RESOLVED)
            return result;
    }
    cpus_fail("a fault at %lx that is resolved for ever", va);
}

static inline uint64_t read_at(struct vm *vm, uint64_t va)
{
    uint64_t value = ~0ull;
    assert_int_equal(VMM_RESOLVED,
                     touch(vm, va, VMM_READ | (vm->space.user ? VMM_USER : 0), &value));
    return value;
}

static inline void write_at(struct vm *vm, uint64_t va, uint64_t value)
{
    assert_int_equal(VMM_RESOLVED,
                     touch(vm, va, VMM_WRITE | (vm->space.user ? VMM_USER : 0), &value));
}

/* --- Ranges ----------------------------------------------------------------------------- */

static inline uint64_t alloc(struct vm *vm, const struct vmm_want *want)
{
    vaddr_t va;
    assert_int_equal(MM_OK, vmm_alloc(vm, want, &va));
    return va.v;
}

static inline uint64_t alloc_pages(struct vm *vm, uint64_t npages, enum vmm_backing backing)
{
    const struct vmm_want want = {.name = "test", .npages = npages, .prot = RW, .backing = backing};
    return alloc(vm, &want);
}

static inline void free_pages(struct vm *vm, uint64_t va, uint64_t npages)
{
    assert_int_equal(MM_OK, vmm_free(vm, VA(va), npages));
}

static inline struct vmm_run run_from(struct vm *vm, uint64_t va)
{
    vaddr_t cursor = VA(va);
    struct vmm_run run;
    assert_int_equal(MM_OK, vmm_next(vm, &cursor, &run));
    return run;
}

/* A number that changes with what any page of the space is, but not with the sizes of entries; of
 * the notes only with PROT_LOCKED. If 'lazy', a lazy page is the same as one that is filled. */
static inline uint64_t dump(struct vm *vm, bool lazy)
{
    uint64_t hash = 14695981039346656037ull, end = 0, last[4] = {0};
    vaddr_t cursor = VA(vm->space.user ? 0 : VMM_WINDOW_BASE);
    struct vmm_run run;
    while (vmm_next(vm, &cursor, &run) == MM_OK) {
        bool page = run.kind == VMM_IS_PAGE && !lazy;
        const uint64_t says[] = {run.kind == VMM_IS_PAGE && lazy ? VMM_IS_LAZY : run.kind,
                                 run.prot & ~(PROT_OWNED | PROT_COPY), run.cache,
                                 page ? run.pa.v - run.va.v : 0};
        if (end != run.va.v || memcmp(says, last, sizeof says) != 0) {
            hash = (hash ^ end) * 1099511628211ull;
            hash = (hash ^ run.va.v) * 1099511628211ull;
            for (size_t i = 0; i < COUNT(says); i++)
                hash = (hash ^ says[i]) * 1099511628211ull;
        }
        memcpy(last, says, sizeof says);
        end = run.va.v + run.npages * PAGE_BYTES;
    }
    return (hash ^ end) * 1099511628211ull;
}

#endif
