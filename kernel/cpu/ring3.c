/* Owns: the registers of a CPU that say where SYSCALL goes and what flags it comes with; the rules for
 * what ring 3 runs with.
 * Relies on: gdt for the selectors, trap_stubs.S for the entry. Stage: "traps", on each CPU.
 * source: Intel SDM Vol. 2 "SYSCALL", "SYSRET", AMD APM Vol. 2 "SYSCALL and SYSRET". */
#include "cpu/ring3.h"

#include "cpu/cpu.h"
#include "cpu/gdt.h"
#include "cpu/traps.h"
#include "mm/addr.h"

#define USER_CODE (GDT_USER_CODE | 3)
#define USER_DATA (GDT_USER_DATA | 3)

/* SYSCALL takes CS and the SS behind it from one half of STAR, SYSRET the SS and CS that follow what is
 * in the other; AMD's does not set the privilege in SS itself. */
#define STAR ((uint64_t)(GDT_DATA | 3) << 48 | (uint64_t)GDT_CODE << 32)
_Static_assert(GDT_DATA == GDT_CODE + 8, "SYSCALL");
_Static_assert(GDT_USER_DATA == GDT_DATA + 8 && GDT_USER_CODE == GDT_DATA + 16, "SYSRET");

#define FLAG_FIXED     0x2u
#define FLAG_TF        0x100u
#define FLAG_INTERRUPT 0x200u
#define FLAG_DF        0x400u
#define FLAG_IOPL      0x3000u
#define FLAG_NT        0x4000u
#define FLAG_RF        0x10000u
#define FLAG_AC        0x40000u
#define FLAG_ID        0x200000u
#define FLAGS_RESULT   0x8d5u /* carry, parity, adjust, zero, sign, overflow */

#define FLAGS_USER (FLAGS_RESULT | FLAG_TF | FLAG_DF | FLAG_RF | FLAG_AC | FLAG_ID)
#define FLAGS_MASK (FLAG_TF | FLAG_INTERRUPT | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_AC)

#define DR7_NOTHING 0x400u

extern const uint8_t syscall_entry[]; /* trap_stubs.S */

static uint64_t end; /* the same on all CPUs */

/* SYSENTER would come with TF as it is, and on whatever stack the firmware chose: selector 0 makes it
 * fault. Breakpoints that somebody left could hit in the entry paths. */
void ring3_init(void)
{
    end = cpu_lower_end();
    cpu_write_msr(MSR_SYSENTER_CS, 0);
    cpu_write_msr(MSR_STAR, STAR);
    cpu_write_msr(MSR_LSTAR, va_of(syscall_entry).v);
    cpu_write_msr(MSR_SFMASK, FLAGS_MASK);
    cpu_write_msr(MSR_KERNEL_GS_BASE, 0); /* ring 3's, while the kernel runs */
    cpu_write_msr(MSR_EFER, cpu_read_msr(MSR_EFER) | EFER_SCE);
    __asm__ volatile("movq %0, %%dr7" ::"r"((uint64_t)DR7_NOTHING));
}

uint64_t ring3_end(void)
{
    return end;
}

void ring3_make_safe(struct trap_frame *frame)
{
    frame->cs = USER_CODE;
    frame->ss = USER_DATA;
    frame->rflags = (frame->rflags & FLAGS_USER) | FLAG_FIXED | FLAG_INTERRUPT;
}
