/* Owns: the last words.
 * Relies on: print (without its lock), explain, symbols, cpu; stop for the other CPUs; runtime for
 * the way out of the firmware's address space; power only at the very end.
 * Stage: any; works without framebuffer, without serial, before and after the page-table switch. */
#include "panic/panic.h"

#include "console/style.h"
#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "cpu/stop.h"
#include "firmware/power.h"
#include "firmware/runtime.h"
#include "kasan/kasan.h"
#include "layout.h"
#include "lock.h"
#include "mm/string.h"
#include "options.h"
#include "panic/explain.h"
#include "panic/symbols.h"

#define BACKTRACE_LINES 24
#define WORDS           512     /* for the sentence */
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
    if (rbp % sizeof(uint64_t) != 0 || !cpus_in_stack(rbp, sizeof(struct call_frame)))
        return NULL;
    const struct call_frame *frame = (const void *)(uintptr_t)rbp; /* in a stack of ours */
    return layout_in_text(frame->return_address) ? frame : NULL;
}

/* The function at address, then who called it, from the frame at rbp on; the name of the first is
 * looked up at lookup. Frames lie one above the other, so the walk ends. A recursion takes two
 * lines, however deep. */
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

/* Where one of the others was. */
static void print_stopped(const struct cpu *cpu)
{
    const struct cpu_stopped *at = &cpu->at_panic;
    if (!__atomic_load_n(&at->stopped, __ATOMIC_ACQUIRE)) {
        kprintf("  CPU %u: does not answer\n", cpu->id);
        return;
    }
    /* Who panics gives the address that it would return to: look up the call. */
    uint64_t offset, lookup = at->rip - at->panicked;
    const char *name = symbols_find(lookup, &offset);
    kprintf("  CPU %u: 0x%016lx %s+0x%lx%s\n", cpu->id, at->rip, name ? name : "?",
            name ? offset + at->panicked : 0, at->panicked ? ", about to panic too" : "");
}

/* "1, 3-7": the numbers of a set. */
static void print_set(const struct cpu_set *set)
{
    const char *separator = "";
    for (unsigned first = cpu_set_next(set, 0), last; first < CONFIG_CPUS_MAX;
         first = cpu_set_next(set, last + 1)) {
        for (last = first; last + 1 < CONFIG_CPUS_MAX && cpu_set_has(set, last + 1);)
            last++;
        kprintf(last > first ? "%s%u-%u" : "%s%u", separator, first, last);
        separator = ", ";
    }
}

/* One line for each of the other CPUs, but one for all that had nothing to do: most, usually. */
static void print_others(void)
{
    struct cpu_set idle = {0};
    if (cpu_set_is_empty(stop_victims()))
        return;
    kprintf("other CPUs:\n");
    for_each_cpu(i, stop_victims())
    {
        if (cpus_was_idle(cpus_get(i)))
            cpu_set_add(&idle, i);
        else
            print_stopped(cpus_get(i));
    }
    if (cpu_set_is_empty(&idle))
        return;
    kprintf("  idle: CPU ");
    print_set(&idle);
    kprintf("\n");
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

/* Nothing of the machine can be relied on from here on, not even the address space: the firmware's,
 * which an NMI may come in, has none of the memory that the words are found in. */
static void begin(uint64_t rip, uint64_t rbp)
{
    __asm__ volatile("cli");
    stop_others(true, rip, rbp); /* if another CPU panics already, this one ends here */
    depth++;
    kasan_stop();
    if (depth > 2)
        cpu_halt();
    traps_forget_try();
    print_emergency();
    runtime_leave();
}

/* The first words. Panicking while panicking must end: the second one says only this. */
static void say(const char *words)
{
    if (depth > 1) {
        kprintf("\nand while saying so: %s\n", words);
        leave();
    }
    kprintf("\n" STYLE_BAD "panic: %s" STYLE_PLAIN "\n", words);
    kprintf("on CPU %u of %u\n", cpu_current()->id, cpus_count());
}

_Noreturn void panic(const char *format, ...)
{
    struct cpu_control control = cpu_control();
    char words[WORDS];
    const struct call_frame *frame = __builtin_frame_address(0);
    begin(frame->return_address, frame->rbp);
    va_list args;
    va_start(args, format);
    (void)kvsnprintf(words, sizeof words, format, args);
    va_end(args);

    say(words);
    print_control(&control);
    print_backtrace(frame->return_address, frame->return_address - 1, frame->rbp);
    print_others();
    leave();
}

bool panic_under_way(void)
{
    return depth > 0;
}

_Noreturn void panic_trap(const struct trap_frame *frame)
{
    struct cpu_control control = cpu_control();
    char words[WORDS];
    begin(frame->rip, frame->rbp);
    explain_trap(frame, control.cr2, words, sizeof words);

    say(words);
    print_registers(frame);
    print_control(&control);
    print_backtrace(frame->rip, frame->rip, frame->rbp);
    print_others();
    leave();
}
