/* Owns: the proof that forbidden accesses fault: each is done, and the exception looked at.
 * Relies on: traps_try to survive them. Stage: after the take-over. */
#include "check/selfcheck_parts.h"
#include "cpu/cpu.h"
#include "cpu/traps.h"
#include "layout.h"
#include "mm/heap.h"
#include "mm/kasan.h"
#include "mm/mapper.h"
#include "mm/pmm.h"

#define RET 0xc3 /* the instruction */

/* What the CPU says to it is wanted, not what a checking build does. */
KASAN_NOT_HERE void selfcheck_read(void *address)
{
    (void)*(volatile uint8_t *)address;
}

KASAN_NOT_HERE void selfcheck_write(void *address)
{
    *(volatile uint8_t *)address = RET;
}

static void call(void *address)
{
    ((void (*)(void))(uintptr_t)address)();
}

bool selfcheck_faults_at(void (*access)(void *), vaddr_t at, uint64_t error)
{
    struct trap_frame frame;
    if (traps_try(access, (void *)va_number(at), &frame))
        return false;
    return frame.vector == TRAP_PAGE_FAULT && frame.error == error &&
           cpu_control().cr2 == va_number(at);
}

static bool null_page_faults(void)
{
    EXPECT(selfcheck_faults_at(selfcheck_read, VA(0), 0));
    EXPECT(selfcheck_faults_at(selfcheck_write, VA(8), FAULT_WRITE));
    return true;
}

static const uint8_t constant = RET;

static bool rodata_is_read_only(void)
{
    EXPECT(selfcheck_faults_at(selfcheck_write, va_of(&constant), FAULT_PRESENT | FAULT_WRITE));
    return true;
}

static bool text_is_read_only(void)
{
    vaddr_t text = VA((uint64_t)(uintptr_t)selfcheck_read);
    EXPECT(selfcheck_faults_at(selfcheck_write, text, FAULT_PRESENT | FAULT_WRITE));
    return true;
}

static bool data_is_not_executable(void)
{
    if (!cpu_info()->nx)
        return true;
    static uint8_t code = RET;
    EXPECT(selfcheck_faults_at(call, va_of(&code), FAULT_PRESENT | FAULT_FETCH));
    EXPECT(selfcheck_faults_at(call, va_of(&constant), FAULT_PRESENT | FAULT_FETCH));
    uint8_t *block = kmalloc(16);
    EXPECT(block);
    block[0] = RET;
    EXPECT(selfcheck_faults_at(call, va_of(block), FAULT_PRESENT | FAULT_FETCH));
    kfree(block);
    return true;
}

static bool stack_guards_fault(void)
{
    for (unsigned i = 0; i < STACKS; i++)
        EXPECT(selfcheck_faults_at(selfcheck_write, va_add(boot_stacks.stack[i].base, -1ull),
                                   FAULT_WRITE));
    return true;
}

/* A try that was abandoned is over: what comes before its caller goes on must not end it again. */
#define VECTOR 0xf0 /* nobody's */
static bool abandoned_once;

static void abandon_twice(struct trap_frame *frame)
{
    bool first = traps_abandon(frame);
    abandoned_once = first && !traps_abandon(frame);
}

static void interrupt(void *unused)
{
    (void)unused;
    __asm__ volatile("int %0" ::"i"(VECTOR));
}

static bool a_try_ends_once(void)
{
    struct trap_frame frame;
    traps_set(VECTOR, abandon_twice);
    bool returned = traps_try(interrupt, NULL, &frame);
    traps_set(VECTOR, NULL);
    EXPECT(!returned && frame.vector == VECTOR && abandoned_once);
    EXPECT(!traps_abandon(&frame)); /* none runs */
    return true;
}

/* One fault survived within a try, and then one that ends it. */
static void fault_twice(void *survived)
{
    *(bool *)survived = selfcheck_faults_at(selfcheck_read, VA(0), 0);
    selfcheck_write((void *)va_number(VA(8)));
}

static bool tries_nest(void)
{
    struct trap_frame frame;
    bool survived = false;
    EXPECT(!traps_try(fault_twice, &survived, &frame));
    EXPECT(survived && frame.vector == TRAP_PAGE_FAULT && frame.error == FAULT_WRITE);
    return true;
}

/* What SMEP and SMAP are for: the kernel led to a page of user mode. */
static bool user_pages_are_out_of_reach(void)
{
    struct space *space = mapper_kernel_space();
    paddr_t frame;
    EXPECT(pmm_alloc_frame(&frame) == MM_OK);
    EXPECT(paging_map(space, SCRATCH_USER_VA, frame, 1, PROT_READ | PROT_EXEC | PROT_USER,
                      CACHE_WB) == MM_OK);
    if (cpu_info()->smap)
        EXPECT(selfcheck_faults_at(selfcheck_read, SCRATCH_USER_VA, FAULT_PRESENT));
    if (cpu_info()->smep)
        EXPECT(selfcheck_faults_at(call, SCRATCH_USER_VA, FAULT_PRESENT | FAULT_FETCH));
    EXPECT(paging_unmap(space, SCRATCH_USER_VA, 1) == MM_OK);
    EXPECT(selfcheck_faults_at(selfcheck_read, SCRATCH_USER_VA, 0));
    EXPECT(pmm_free_frame(frame) == MM_OK);
    return true;
}

static const struct selfcheck fault_checks[] = {
    {"faults: a try ends once", a_try_ends_once},
    {"faults: tries nest", tries_nest},
    {"faults: page 0", null_page_faults},
    {"faults: write to read-only data", rodata_is_read_only},
    {"faults: write to text", text_is_read_only},
    {"faults: execution of data", data_is_not_executable},
    {"faults: stack guards", stack_guards_fault},
    {"faults: pages of user mode", user_pages_are_out_of_reach},
};
const struct selfcheck_part selfcheck_faults = {fault_checks,
                                                sizeof fault_checks / sizeof fault_checks[0]};
