/* Owns: mm/port.h on the real machine, but for what CPUs ask of each other (shootdown.c).
 * Relies on: print, panic, cpu. Stage: after cpu_init; port_cpu settles with cpu_protect. */
#include "mm/port.h"

#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "layout.h"
#include "kasan/kasan.h"
#include "lock.h"
#include "panic/panic.h"
#include "panic/symbols.h"

static struct port_cpu the_cpu;

static __attribute__((noinline)) void settle(void)
{
    struct cpu_control control = cpu_control();
    the_cpu.nx = control.efer & EFER_NXE;
    the_cpu.page_1g = cpu_info()->page_1g;
    the_cpu.global = control.cr4 & CR4_PGE;
    the_cpu.pkeys = control.cr4 & CR4_PKE;
    the_cpu.phys_bits = cpu_info()->phys_bits;
    the_cpu.levels = control.cr4 & CR4_LA57 ? 5 : 4;
}

/* Asked for every entry that is made. */
const struct port_cpu *port_cpu(void)
{
    if (the_cpu.levels == 0)
        settle();
    return &the_cpu;
}

void port_log(const char *fmt, ...)
{
    char line[256];
    va_list args;
    va_start(args, fmt);
    (void)kvsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    kprintf("%s\n", line); /* in one call: lines of two CPUs do not mix */
}

_Noreturn void port_panic(const char *fmt, ...)
{
    char line[256];
    va_list args;
    va_start(args, fmt);
    (void)kvsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    panic("%s", line);
}

void port_misuse(const char *fmt, ...)
{
    char line[256];
    va_list args;
    va_start(args, fmt);
    (void)kvsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (kasan_survive_misuse())
        return;
    panic("%s", line); /* an allocator that was lied to once cannot be trusted any more */
}

void port_format(char *out, size_t bytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)kvsnprintf(out, bytes, fmt, args);
    va_end(args);
}

/* Frames lie one above the other, so the walk ends. */
unsigned port_callers(const void *frame, uint64_t *out, unsigned max)
{
    unsigned n = 0;
    uint64_t rbp = va_of(frame).v;
    while (n < max && rbp % 8 == 0 && layout_in_stack(cpu_current()->stacks, rbp, 16)) {
        const uint64_t *words = (const uint64_t *)(uintptr_t)rbp; /* in a stack of ours */
        if (!layout_in_text(words[1]))
            break;
        if (n > 0 || !layout_in_heap_text(words[1]))
            out[n++] = words[1];
        if (words[0] <= rbp)
            break;
        rbp = words[0];
    }
    return n;
}

const char *port_symbol(uint64_t address, uint64_t *offset)
{
    return symbols_find(address, offset);
}

unsigned port_cpu_id(void)
{
    return cpu_current()->id;
}

void port_set_mm_cpu(struct mm_cpu *cpu)
{
    cpu_current()->mm = cpu;
}

/* Global pages survive a load of CR3 but not a change of CR4.PGE.
 * source: Intel SDM Vol. 3A "Operations that Invalidate TLBs" */
void port_tlb_flush_all(void)
{
    irq_state_t irq = irq_save();
    uint64_t cr4 = cpu_control().cr4;
    if (cr4 & CR4_PGE) {
        __asm__ volatile("movq %0, %%cr4" ::"r"(cr4 & ~CR4_PGE) : "memory");
        __asm__ volatile("movq %0, %%cr4" ::"r"(cr4) : "memory");
    } else {
        port_set_root(port_get_root());
    }
    irq_restore(irq);
}

paddr_t port_get_root(void)
{
    uint64_t cr3;
    __asm__ volatile("movq %%cr3, %0" : "=r"(cr3));
    return PA(cr3 & (PADDR_LIMIT - FRAME_BYTES)); /* without PCD, PWT and PCID */
}

void port_set_root(paddr_t root)
{
    __asm__ volatile("movq %0, %%cr3" ::"r"(root.v) : "memory");
}
