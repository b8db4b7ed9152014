/* The processor: what it is, what it can do, the protections that it enforces for us.
 * source: Intel SDM Vol. 2A "CPUID", Vol. 3A "Control Registers"; AMD APM Vol. 3 appendix E. */
#ifndef QL_KERNEL_CPU_H
#define QL_KERNEL_CPU_H

#define MSR_APIC_BASE      0x1b
#define MSR_SYSENTER_CS    0x174
#define MSR_PAT            0x277
#define MSR_EFER           0xc0000080
#define MSR_STAR           0xc0000081
#define MSR_LSTAR          0xc0000082
#define MSR_SFMASK         0xc0000084
#define MSR_GS_BASE        0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpu_info {
    char vendor[13]; /* "GenuineIntel" */
    char name[49];   /* the brand string, blanks trimmed; the vendor where there is none */
    uint32_t family, model, stepping;
    uint8_t phys_bits, virt_bits;
    bool nx, smep, smap, umip, pku, pge, mce, page_1g, la57; /* what it can do */
    bool pat, apic, x2apic, rdrand, erms, invariant_tsc;
    bool hypervisor; /* it says that it is a virtual one */
};

/* Read CPUID, seed the stack protector's canary from what randomness there is. First use of the
 * CPU's name and features is after this. Stage: from the first line of the kernel, on no protected
 * frame. */
void cpu_init(void);
const struct cpu_info *cpu_info(void);

/* The page attribute table that mm/paging.h counts on (its first six entries): the Limine
 * protocol's. */
#define CPU_PAT      0x010500070406ull
#define CPU_PAT_MASK 0xffffffffffffull

/* Mix what the loader knows of randomness into the canary: there are CPUs that have none. Only for
 * a caller that never returns, as its own frame may hold the old canary. */
void cpu_add_randomness(const uint64_t *values, size_t n);

/* Turn on what the CPU has of CR0.WP, EFER.NXE, CR4.SMEP, SMAP, UMIP, PKE and PGE; off what ring 3
 * has no business with (the FPU, whose registers nobody saves; its own GS base; counters); see to
 * the memory types; let a machine check be an exception, which ends in words, rather than a reset. */
void cpu_protect(void);

/* SMAP is on, on the CPUs that have called cpu_protect. For assembly. */
extern bool cpu_smap;

/* What this CPU's protection keys forbid to ring 3, and to the kernel in ring 3's pages: two bits a
 * key. 0, nothing, but while ring 3 runs; only if port_cpu()->pkeys. */
uint32_t cpu_pkru(void);
void cpu_set_pkru(uint32_t pkru);

/* The names of the protections that are on at this moment, "WP NX SMEP ...". */
void cpu_protections(char *out, size_t bytes);

/* Control registers as they stand. */
struct cpu_control {
    uint64_t cr0, cr2, cr3, cr4, efer;
};
struct cpu_control cpu_control(void);

#define CR0_MP         (1ull << 1)
#define CR0_EM         (1ull << 2)
#define CR0_TS         (1ull << 3)
#define CR0_WP         (1ull << 16)
#define CR4_MCE        (1ull << 6)
#define CR4_PGE        (1ull << 7)
#define CR4_PCE        (1ull << 8)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP       (1ull << 11)
#define CR4_LA57       (1ull << 12)
#define CR4_FSGSBASE   (1ull << 16)
#define CR4_SMEP       (1ull << 20)
#define CR4_SMAP       (1ull << 21)
#define CR4_PKE        (1ull << 22)
#define EFER_SCE       (1ull << 0)
#define EFER_NXE       (1ull << 11)

/* Where the lower half of the address space ends, with 4 or 5 levels of tables as they are in use;
 * the upper half begins at minus that. */
static inline uint64_t cpu_lower_end(void)
{
    return cpu_control().cr4 & CR4_LA57 ? 1ull << 56 : 1ull << 47;
}

/* The time-stamp counter; its frequency in Hz: what clock.c has found out, before that the
 * loader's, else CPUID's; 0 if nobody knows. */
uint64_t cpu_tsc(void);
uint64_t cpu_tsc_hz(void);
uint64_t cpu_tsc_hz_of_cpuid(void); /* alone; 0 where it does not say */
void cpu_set_tsc_hz(uint64_t hz);

/* Busy-wait, also where the frequency is unknown (3 GHz is assumed then: only for time limits). */
void cpu_wait_usec(uint64_t usec);

/* Counter ticks in that many microseconds, under the same assumption. */
uint64_t cpu_tsc_ticks(uint64_t usec);

/* Stop this CPU for good, interrupts off. */
_Noreturn void cpu_halt(void);

static inline uint64_t cpu_read_msr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void cpu_write_msr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}
#endif

#endif
