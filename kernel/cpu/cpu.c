/* Owns: what is known of the processor, its control registers, the stack protector's canary.
 * Relies on: the boot context for the loader's measurement of the TSC frequency, once it is read.
 * Stage: from the first line of the kernel. */
#include "cpu/cpu.h"

#include "boot/context.h"
#include "mm/port.h"
#include "mm/string.h"
#include "panic/panic.h"

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static struct cpu_info info;
static uint64_t tsc_hz; /* 0: not settled yet */

bool cpu_smap;

/* The compiler puts this word between a frame's arrays and its return address, and calls
 * __stack_chk_fail if it has changed when the function returns. */
extern uintptr_t __stack_chk_guard;
uintptr_t __stack_chk_guard;
_Noreturn void __stack_chk_fail(void);

_Noreturn void __stack_chk_fail(void)
{
    panic("stack smashed: a function wrote past an array in its frame");
}

static struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

/* The leaf, or zeros where the CPU does not have it (it would answer with another leaf's). */
static struct cpuid cpuid_if_present(uint32_t leaf, uint32_t subleaf)
{
    uint32_t highest = cpuid(leaf & 0xffff0000u, 0).eax;
    if (highest < leaf || (highest & 0xffff0000u) != (leaf & 0xffff0000u))
        return (struct cpuid){0, 0, 0, 0};
    return cpuid(leaf, subleaf);
}

static bool bit(uint32_t word, unsigned n)
{
    return word >> n & 1;
}

/* Brand strings are padded with blanks, on either side and sometimes within. */
static void trim(char *text)
{
    char *out = text;
    for (const char *in = text; *in; in++) {
        bool blank = *in == ' ';
        if (!blank || (out > text && out[-1] != ' '))
            *out++ = *in;
    }
    if (out > text && out[-1] == ' ')
        out--;
    *out = '\0';
}

static void read_names(void)
{
    struct cpuid r = cpuid(0, 0);
    const uint32_t vendor[3] = {r.ebx, r.edx, r.ecx};
    memcpy(info.vendor, vendor, sizeof vendor);

    for (uint32_t i = 0; i < 3; i++) {
        r = cpuid_if_present(0x80000002u + i, 0);
        memcpy(info.name + 16 * i, &r, sizeof r);
    }
    trim(info.name);
    if (info.name[0] == '\0')
        memcpy(info.name, info.vendor, sizeof info.vendor);
}

static void read_features(void)
{
    struct cpuid one = cpuid(1, 0);
    struct cpuid seven = cpuid_if_present(7, 0);
    struct cpuid extended = cpuid_if_present(0x80000001u, 0);
    struct cpuid sizes = cpuid_if_present(0x80000008u, 0);

    uint32_t family = one.eax >> 8 & 15;
    info.family = family == 15 ? family + (one.eax >> 20 & 255) : family;
    info.model = (one.eax >> 4 & 15) | (family == 6 || family == 15 ? one.eax >> 12 & 0xf0 : 0);
    info.stepping = one.eax & 15;

    info.mce = bit(one.edx, 7);
    info.pge = bit(one.edx, 13);
    info.pat = bit(one.edx, 16);
    info.apic = bit(one.edx, 9);
    info.x2apic = bit(one.ecx, 21);
    info.rdrand = bit(one.ecx, 30);
    info.hypervisor = bit(one.ecx, 31);
    info.smep = bit(seven.ebx, 7);
    info.erms = bit(seven.ebx, 9);
    info.smap = bit(seven.ebx, 20);
    info.umip = bit(seven.ecx, 2);
    info.pku = bit(seven.ecx, 3);
    info.la57 = bit(seven.ecx, 16);
    info.nx = bit(extended.edx, 20);
    info.page_1g = bit(extended.edx, 26);
    info.invariant_tsc = bit(cpuid_if_present(0x80000007u, 0).edx, 8);
    info.phys_bits = sizes.eax ? (uint8_t)sizes.eax : 36;
    if (info.phys_bits > 52) /* what the architecture allows; it is shifted by */
        info.phys_bits = 52;
    info.virt_bits = sizes.eax ? (uint8_t)(sizes.eax >> 8) : 48;
}

/* The finaliser of MurmurHash3: every bit reaches every other. */
static uint64_t mix(uint64_t seed)
{
    seed = (seed ^ seed >> 33) * 0xff51afd7ed558ccdull;
    seed = (seed ^ seed >> 33) * 0xc4ceb9fe1a85ec53ull;
    return seed ^ seed >> 33;
}

/* 64 bits, unpredictable as far as the CPU can be. */
static uint64_t gather_randomness(void)
{
    uint64_t seed = cpu_tsc();
    for (unsigned attempt = 0; info.rdrand && attempt < 10; attempt++) {
        uint64_t value;
        bool good;
        __asm__ volatile("rdrand %0" : "=r"(value), "=@ccc"(good));
        if (good) {
            seed ^= value;
            break;
        }
    }
    return seed;
}

/* The frames that see the canary change must not be protected themselves. The lowest byte stays 0:
 * a string that runs over its end cannot copy it. */
__attribute__((no_stack_protector)) void cpu_init(void)
{
    read_names();
    read_features();
    __stack_chk_guard = mix(gather_randomness()) & ~0xffull;
}

__attribute__((no_stack_protector)) void cpu_add_randomness(const uint64_t *values, size_t n)
{
    uint64_t seed = __stack_chk_guard ^ cpu_tsc();
    for (size_t i = 0; i < n; i++)
        seed = mix(seed ^ values[i]);
    __stack_chk_guard = seed & ~0xffull;
}

const struct cpu_info *cpu_info(void)
{
    return &info;
}

struct cpu_control cpu_control(void)
{
    struct cpu_control c;
    __asm__ volatile("movq %%cr0, %0" : "=r"(c.cr0));
    __asm__ volatile("movq %%cr2, %0" : "=r"(c.cr2));
    __asm__ volatile("movq %%cr3, %0" : "=r"(c.cr3));
    __asm__ volatile("movq %%cr4, %0" : "=r"(c.cr4));
    c.efer = cpu_read_msr(MSR_EFER);
    return c;
}

/* The loader has done this, if it keeps to the protocol. What was cached under another type must
 * go. source: Intel SDM Vol. 3A "Programming the PAT" */
static void program_pat(void)
{
    uint64_t pat = cpu_read_msr(MSR_PAT);
    if ((pat & CPU_PAT_MASK) == CPU_PAT)
        return;
    __asm__ volatile("wbinvd" ::: "memory");
    cpu_write_msr(MSR_PAT, (pat & ~CPU_PAT_MASK) | CPU_PAT);
    port_tlb_flush_all();
}

void cpu_protect(void)
{
    if (info.pat)
        program_pat();
    struct cpu_control c = cpu_control();
    if (info.nx)
        cpu_write_msr(MSR_EFER, c.efer | EFER_NXE);
    c.cr4 &= ~(CR4_FSGSBASE | CR4_PCE);
    c.cr4 |= (info.pge ? CR4_PGE : 0) | (info.smep ? CR4_SMEP : 0) | (info.smap ? CR4_SMAP : 0) |
             (info.umip ? CR4_UMIP : 0) | (info.pku ? CR4_PKE : 0) | (info.mce ? CR4_MCE : 0);
    __asm__ volatile("movq %0, %%cr4" ::"r"(c.cr4) : "memory");
    __asm__ volatile("movq %0, %%cr0" ::"r"(c.cr0 | CR0_WP | CR0_MP | CR0_TS) : "memory");
    cpu_smap = info.smap;
    if (info.pku)
        cpu_set_pkru(0);
}

uint32_t cpu_pkru(void)
{
    uint32_t pkru;
    __asm__ volatile("rdpkru" : "=a"(pkru) : "c"(0) : "edx");
    return pkru;
}

void cpu_set_pkru(uint32_t pkru)
{
    __asm__ volatile("wrpkru" ::"a"(pkru), "c"(0), "d"(0) : "memory");
}

void cpu_protections(char *out, size_t bytes)
{
    struct cpu_control c = cpu_control();
    const struct {
        bool on;
        const char *name;
    } all[] = {
        {c.cr0 & CR0_WP, "WP"},     {c.efer & EFER_NXE, "NX"},  {c.cr4 & CR4_SMEP, "SMEP"},
        {c.cr4 & CR4_SMAP, "SMAP"}, {c.cr4 & CR4_UMIP, "UMIP"}, {c.cr4 & CR4_PKE, "PKE"},
        {c.cr4 & CR4_PGE, "PGE"},
    };
    size_t used = 0;
    if (bytes > 0)
        out[0] = '\0';
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].on && used < bytes)
            used += ksnprintf(out + used, bytes - used, used ? " %s" : "%s", all[i].name);
}

uint64_t cpu_tsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* What the CPU, or the hypervisor, says of its counter. source: Intel SDM Vol. 2A "CPUID" leaves
 * 15h and 16h; the hypervisors' common leaf 40000010h (kHz). */
uint64_t cpu_tsc_hz_of_cpuid(void)
{
    struct cpuid ratio = cpuid_if_present(0x15, 0);
    if (ratio.eax && ratio.ebx && ratio.ecx)
        return (uint64_t)ratio.ecx * ratio.ebx / ratio.eax;
    struct cpuid hypervisor = info.hypervisor ? cpuid(0x40000000u, 0) : (struct cpuid){0, 0, 0, 0};
    if (hypervisor.eax >= 0x40000010u && hypervisor.eax < 0x40010000u)
        return (uint64_t)cpuid(0x40000010u, 0).eax * 1000;
    return (uint64_t)(cpuid_if_present(0x16, 0).eax & 0xffff) * 1000000;
}

uint64_t cpu_tsc_hz(void)
{
    if (tsc_hz)
        return tsc_hz;
    uint64_t measured = boot_context()->tsc_hz;
    uint64_t hz = measured ? measured : cpu_tsc_hz_of_cpuid();
    return hz >= 1000000 ? hz : 0; /* less cannot be, and is divided by in microseconds */
}

void cpu_set_tsc_hz(uint64_t hz)
{
    tsc_hz = hz;
}

uint64_t cpu_tsc_ticks(uint64_t usec)
{
    uint64_t hz = cpu_tsc_hz();
    return usec * ((hz ? hz : 3000000000ull) / 1000000);
}

void cpu_wait_usec(uint64_t usec)
{
    uint64_t start = cpu_tsc();
    uint64_t ticks = cpu_tsc_ticks(usec);
    while (cpu_tsc() - start < ticks)
        __builtin_ia32_pause();
}

_Noreturn void cpu_halt(void)
{
    for (;;)
        __asm__ volatile("cli; hlt" ::: "memory"); /* an NMI would wake it: once more */
}
