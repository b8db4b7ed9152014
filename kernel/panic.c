/* Owns: the last words.
 * Relies on: print (without its lock), explain, symbols, cpu; power only at the very end.
 * Stage: any; works without framebuffer, without serial, before and after the page-table switch. */
#include "panic.h"

#include "cpu.h"
#include "explain.h"
#include "layout.h"
#include "lock.h"
#include "mm/string.h"
#include "options.h"
#include "power.h"
#include "symbols.h"

#define BACKTRACE_LINES 24
#define REBOOT_USEC     5000000 /* long enough to take a photograph */

static unsigned depth; /* panics so far: the second one comes from printing the first */

/* What a function that keeps a frame pointer leaves at rbp. */
struct call_frame {
    uint64_t rbp;
    uint64_t return_address;
};

static void print_repeated(uint64_t times)
{
    if (times > 0)
        kprintf("     ... the same %lu more times\n", times);
}

static void print_address(unsigned number, uint64_t address, uint64_t lookup)
{
    uint64_t offset;
    const char *name = symbols_find(lookup, &offset);
    if (name)
        kprintf("  #%u 0x%016lx %s+0x%lx\n", number, address, name, offset + (address - lookup));
    else
        kprintf("  #%u 0x%016lx %s\n", number, address,
                layout_in_text(address) ? "?" : "(not kernel text)");
}

/* The frame at rbp, NULL if there cannot be one of ours. */
static const struct call_frame *frame_at(uint64_t rbp)
{
    if (rbp % sizeof(uint64_t) != 0 || !layout_in_stack(rbp, sizeof(struct call_frame)))
        return NULL;
    const struct call_frame *frame = (const void *)(uintptr_t)rbp; /* in a stack of ours */
    return layout_in_text(frame->return_address) ? frame : NULL;
}

/* Frames lie one above the other, so the walk ends. A recursion takes two lines, however deep. */
static void print_backtrace(uint64_t address, uint64_t lookup, uint64_t rbp)
{
    kprintf("stack trace:\n");
    unsigned number = 0, lines = 0;
    uint64_t repeated = 0, last = 0;
    print_address(number, address, lookup);
    for (const struct call_frame *frame = frame_at(rbp); frame; frame = frame_at(rbp)) {
        number++;
        if (frame->return_address == last) {
            repeated++;
        } else if (lines++ < BACKTRACE_LINES) {
            print_repeated(repeated);
            repeated = 0;
            last = frame->return_address;
            /* The call may be the last instruction of its function: look up the byte before. */
            print_address(number, last, last - 1);
        }
        if (frame->rbp <= rbp)
            break;
        rbp = frame->rbp;
    }
    print_repeated(repeated);
}

void panic_backtrace(uint64_t rip, uint64_t rbp)
{
    print_backtrace(rip, rip, rbp);
}

static void print_registers(const struct trap_frame *f)
{
    kprintf("rax %016lx  rbx %016lx  rcx %016lx\n", f->rax, f->rbx, f->rcx);
    kprintf("rdx %016lx  rsi %016lx  rdi %016lx\n", f->rdx, f->rsi, f->rdi);
    kprintf("rbp %016lx  rsp %016lx  r8  %016lx\n", f->rbp, f->rsp, f->r8);
    kprintf("r9  %016lx  r10 %016lx  r11 %016lx\n", f->r9, f->r10, f->r11);
    kprintf("r12 %016lx  r13 %016lx  r14 %016lx\n", f->r12, f->r13, f->r14);
    kprintf("r15 %016lx  rip %016lx  rflags %08lx\n", f->r15, f->rip, f->rflags);
    kprintf("cs %04lx  ss %04lx  vector %lu (%s)  error code 0x%lx\n", f->cs, f->ss, f->vector,
            trap_name(f->vector), f->error);
}

static void print_control(const struct cpu_control *c)
{
    kprintf("cr0 %016lx  cr2 %016lx  cr3 %016lx\n", c->cr0, c->cr2, c->cr3);
    kprintf("cr4 %016lx  efer %lx\n", c->cr4, c->efer);
}

/* Nothing of the machine can be relied on from here on. Panicking while panicking must end. */
static void enter(const char *words)
{
    __asm__ volatile("cli");
    depth++;
    traps_forget_try();
    print_emergency();
    if (depth == 2) {
        kprintf("\nand while saying so: %s\n", words);
        cpu_halt();
    }
    if (depth > 2)
        cpu_halt();
    kprintf("\n\033[91mpanic: %s\033[0m\n", words);
}

/* Stop as the options ask: panic=reboot, panic=halt, or a test's exit=debug. */
static _Noreturn void leave(void)
{
    char how[16];
    if (option_get("panic", how, sizeof how)) {
        if (strcmp(how, "reboot") == 0) {
            kprintf("rebooting in %u seconds\n", REBOOT_USEC / 1000000);
            cpu_wait_usec(REBOOT_USEC);
            power_reboot();
        }
    } else if (option_get("exit", how, sizeof how) && strcmp(how, "debug") == 0) {
        power_debug_exit(1); /* nobody sits before this machine: the exit status is what is seen */
    }
    kprintf("the machine is stopped\n");
    cpu_halt();
}

_Noreturn void panic(const char *format, ...)
{
    struct cpu_control control = cpu_control();
    char words[256];
    va_list args;
    va_start(args, format);
    (void)kvsnprintf(words, sizeof words, format, args);
    va_end(args);

    enter(words);
    print_control(&control);
    const struct call_frame *frame = __builtin_frame_address(0);
    print_backtrace(frame->return_address, frame->return_address - 1, frame->rbp);
    leave();
}

_Noreturn void panic_trap(const struct trap_frame *frame)
{
    struct cpu_control control = cpu_control();
    char words[256];
    explain_trap(frame, control.cr2, words, sizeof words);

    enter(words);
    print_registers(frame);
    print_control(&control);
    panic_backtrace(frame->rip, frame->rbp);
    leave();
}
