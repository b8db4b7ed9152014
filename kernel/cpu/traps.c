/* Owns: the IDT and the table of handlers, which all CPUs share; on each CPU the point that
 * traps_try resumes at.
 * Relies on: trap_stubs.S for the entry points, gdt.c for segments and stacks, panic for what
 * nobody takes. Stage: "traps", then for ever. */
#include "cpu/traps.h"

#include "check.h"
#include "cpu/cpus.h"
#include "cpu/gdt.h"
#include "cpu/ring3.h"
#include "layout.h"
#include "mm/kasan.h"
#include "panic/panic.h"
#include "user/thread.h"

#define STUB_BYTES 16 /* of each entry point in trap_stubs.S */

struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;  /* 0: stay on the stack in use */
    uint8_t type; /* present, privilege 0, interrupt gate */
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};
_Static_assert(sizeof(struct gate) == 16, "what the CPU reads");
_Static_assert(sizeof(struct trap_frame) == 22 * 8, "what trap_stubs.S pushes");

/* trap_stubs.S */
extern const uint8_t trap_stubs[], traps_resume[];
bool traps_call(void (*function)(void *), void *argument, uint64_t *resume_rsp);
void traps_dispatch(struct trap_frame *frame);

static struct gate idt[TRAP_VECTORS] __attribute__((aligned(16)));
static trap_handler_t handlers[TRAP_VECTORS + 1]; /* the last is for system calls */
static struct segments boot_segments;

static uint8_t ist_of(unsigned vector)
{
    switch (vector) {
    case TRAP_DEBUG: /* nothing in the kernel causes one, so nothing meets it there */
    case TRAP_DOUBLE_FAULT:
        return IST_DOUBLE_FAULT + 1;
    case TRAP_NMI:
        return IST_NMI + 1;
    case TRAP_MACHINE_CHECK:
        return IST_MACHINE_CHECK + 1;
    default:
        return 0;
    }
}

void traps_init(void)
{
    gdt_load(&boot_segments, &boot_stacks);
    for (unsigned vector = 0; vector < TRAP_VECTORS; vector++) {
        uint64_t entry = va_of(trap_stubs + vector * STUB_BYTES).v;
        idt[vector] = (struct gate){
            .offset_low = (uint16_t)entry,
            .selector = GDT_CODE,
            .ist = ist_of(vector),
            .type = 0x8e,
            .offset_middle = (uint16_t)(entry >> 16),
            .offset_high = (uint32_t)(entry >> 32),
        };
    }
    traps_join();
}

void traps_join(void)
{
    struct table_register idtr = {sizeof idt - 1, va_of(idt).v};
    __asm__ volatile("lidt %0" ::"m"(idtr));
    ring3_init();
}

void traps_set(unsigned vector, trap_handler_t handler)
{
    ASSERT(vector <= TRAP_SYSCALL);
    handlers[vector] = handler;
}

bool traps_try(void (*function)(void *), void *argument, struct trap_frame *caught)
{
    struct cpu *cpu = cpu_current();
    struct trap_frame *outer_caught = cpu->trap_caught;
    uint64_t outer = cpu->trap_resume;
    cpu->trap_caught = caught;
    bool returned = traps_call(function, argument, &cpu->trap_resume);
    cpu->trap_resume = outer;
    cpu->trap_caught = outer_caught;
    if (!returned)
        kasan_stack_left();
    return returned;
}

bool traps_abandon(struct trap_frame *frame)
{
    struct cpu *cpu = cpu_current();
    if (cpu->trap_resume == 0)
        return false;
    if (cpu->trap_caught)
        *cpu->trap_caught = *frame;
    frame->rip = va_of(traps_resume).v;
    frame->cs = GDT_CODE; /* firmware may run on selectors of its own */
    frame->rsp = cpu->trap_resume;
    frame->ss = GDT_DATA;
    frame->rflags = 2;    /* interrupts off; traps_call restores the flags of its caller */
    cpu->trap_resume = 0; /* it can be resumed once: the next interrupt finds that stack in use */
    return true;
}

void traps_forget_try(void)
{
    cpu_current()->trap_resume = 0;
}

void traps_aside(void (*function)(void *), void *argument)
{
    struct cpu *cpu = cpu_current();
    uint64_t outer = cpu->trap_resume;
    cpu->trap_resume = 0;
    function(argument);
    cpu->trap_resume = outer;
}

void traps_fail(struct trap_frame *frame)
{
    bool fatal = frame->vector == TRAP_NMI || frame->vector == TRAP_MACHINE_CHECK;
    if (trap_is_from_user(frame) && !fatal && frame->vector != TRAP_DOUBLE_FAULT)
        user_kill(frame);
    if (trap_is_from_user(frame) || fatal || !traps_abandon(frame))
        panic_trap(frame);
}

/* Vectors from 32 on that nobody takes are of a device that the firmware left on: the local APICs
 * hold back what comes through them. */
void traps_dispatch(struct trap_frame *frame)
{
    if (handlers[frame->vector])
        handlers[frame->vector](frame);
    else if (frame->vector < TRAP_EXCEPTIONS)
        traps_fail(frame);
    if (trap_is_from_user(frame))
        user_return(frame);
}

const char *trap_name(uint64_t vector)
{
    static const char *const names[TRAP_EXCEPTIONS] = {
        [0] = "divide error",
        [1] = "debug exception",
        [2] = "non-maskable interrupt",
        [3] = "breakpoint",
        [4] = "overflow",
        [5] = "bound range exceeded",
        [6] = "invalid opcode",
        [7] = "device not available",
        [8] = "double fault",
        [10] = "invalid TSS",
        [11] = "segment not present",
        [12] = "stack segment fault",
        [13] = "general protection fault",
        [14] = "page fault",
        [16] = "x87 floating-point error",
        [17] = "alignment check",
        [18] = "machine check",
        [19] = "SIMD floating-point error",
        [20] = "virtualization exception",
        [21] = "control protection exception",
        [28] = "hypervisor injection exception",
        [29] = "VMM communication exception",
        [30] = "security exception",
    };
    if (vector >= TRAP_EXCEPTIONS)
        return "interrupt";
    return names[vector] ? names[vector] : "reserved exception";
}
