/* The instructions and registers C has no word for. source: Intel SDM Vol. 2 and Vol. 4. */
#ifndef QL_EFI_CPU_H
#define QL_EFI_CPU_H

#include <stdbool.h>
#include <stdint.h>

enum {
    MSR_APIC_BASE = 0x1b,
    MSR_XAPIC_DISABLE_STATUS = 0xbd,
    MSR_MTRR_CAP = 0xfe,
    MSR_ARCH_CAPABILITIES = 0x10a,
    MSR_MTRR_VARIABLE = 0x200, /* base and mask of the first; the others follow */
    MSR_PAT = 0x277,
    MSR_MTRR_DEFAULT = 0x2ff,
    MSR_X2APIC = 0x800, /* + register offset / 16 */
    MSR_EFER = 0xc0000080,
    MSR_FS_BASE = 0xc0000100,
    MSR_GS_BASE = 0xc0000101,
};

#define EFER_LME  (1ull << 8)
#define EFER_LMA  (1ull << 10)
#define EFER_NXE  (1ull << 11)
#define CR0_PE    (1ull << 0)
#define CR0_ET    (1ull << 4)
#define CR0_WP    (1ull << 16)
#define CR0_NW    (1ull << 29)
#define CR0_CD    (1ull << 30)
#define CR0_PG    (1ull << 31)
#define CR4_PAE   (1ull << 5)
#define CR4_PGE   (1ull << 7)
#define CR4_LA57  (1ull << 12)
#define CR4_PCIDE (1ull << 17)
#define CR4_CET   (1ull << 23)

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

/* Leaf of the basic (0), hypervisor (0x40000000) or extended (0x80000000) range; zeros if the CPU
 * does not have it. */
static inline struct cpuid cpuid_or_zero(uint32_t leaf, uint32_t subleaf)
{
    if (cpuid(leaf & 0xc0000000u, 0).eax < leaf)
        return (struct cpuid){0};
    return cpuid(leaf, subleaf);
}

static inline bool cpu_has_nx(void)
{
    return cpuid_or_zero(0x80000001, 0).edx >> 20 & 1;
}
static inline bool cpu_has_1gib_pages(void)
{
    return cpuid_or_zero(0x80000001, 0).edx >> 26 & 1;
}
static inline bool cpu_has_la57(void)
{
    return cpuid_or_zero(7, 0).ecx >> 16 & 1;
}
static inline bool cpu_has_pat(void)
{
    return cpuid(1, 0).edx >> 16 & 1;
}
static inline bool cpu_has_apic(void)
{
    return cpuid(1, 0).edx >> 9 & 1;
}
static inline bool cpu_has_mtrr(void)
{
    return cpuid(1, 0).edx >> 12 & 1;
}
static inline bool cpu_has_x2apic(void)
{
    return cpuid(1, 0).ecx >> 21 & 1;
}
static inline bool cpu_has_hypervisor(void)
{
    return cpuid(1, 0).ecx >> 31 & 1;
}

/* The local APIC's id of the CPU that runs: 32 bits where there are levels to be told. */
static inline uint32_t cpu_apic_id(void)
{
    struct cpuid levels = cpuid_or_zero(0xb, 0);
    return levels.ebx ? levels.edx : cpuid(1, 0).ebx >> 24;
}

static inline uint64_t cpu_rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

static inline uint64_t cpu_rdmsr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void cpu_wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

static inline uint64_t cpu_read_cr0(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}

static inline void cpu_write_cr0(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr0" ::"r"(value) : "memory");
}

/* Forget all translations that are not global. */
static inline void cpu_reload_cr3(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(value)::"memory");
}

static inline void cpu_write_back_caches(void)
{
    __asm__ volatile("wbinvd" ::: "memory");
}

static inline void cpu_write_cr4(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr4" ::"r"(value) : "memory");
}

static inline uint64_t cpu_read_cr4(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}

static inline uint16_t cpu_read_tr(void)
{
    uint16_t selector;
    __asm__ volatile("str %0" : "=r"(selector));
    return selector;
}

static inline void cpu_interrupts_off(void)
{
    __asm__ volatile("cli" ::: "memory");
}
static inline void cpu_pause(void)
{
    __asm__ volatile("pause");
}

static inline void cpu_out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint32_t cpu_in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Device registers; firmware maps them where the bus has them. */
static inline uint32_t mmio_read32(uint64_t address)
{
    return *(const volatile uint32_t *)(uintptr_t)address; /* identity-mapped register */
}

static inline void mmio_write32(uint64_t address, uint32_t value)
{
    *(volatile uint32_t *)(uintptr_t)address = value; /* identity-mapped register */
}

static inline uint64_t mmio_read64(uint64_t address)
{
    return *(const volatile uint64_t *)(uintptr_t)address; /* identity-mapped register */
}

static inline void mmio_write64(uint64_t address, uint64_t value)
{
    *(volatile uint64_t *)(uintptr_t)address = value; /* identity-mapped register */
}

#endif
