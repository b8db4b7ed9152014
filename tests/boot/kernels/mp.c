/* The other CPUs: each is released in its turn and checks itself, as the boot CPU did, on the stack
 * the loader gave it; at the end all of them run at once. */
#include "kernel.h"

#define CPUS_MAX    1024
#define STACK_BYTES 0x30000 /* what kernel.c asks for */
#define SECONDS     20      /* patience with one CPU; emulated ones share their host */
#define MTRRS_MAX   80

void ap_entry(void);
void ap_kernel_main(struct limine_mp_info *info);

static uint64_t mtrrs[MTRRS_MAX]; /* the boot CPU's */
static unsigned nmtrrs;
static uint64_t stacks[CPUS_MAX]; /* of the CPUs that have begun */
static unsigned nstacks;
static uint64_t argument; /* what the CPU that is being released must find */
static uint32_t apic_flags;
static volatile unsigned running, released, met;

static uint32_t own_lapic_id(void)
{
    if (read_msr(0x1b) & 1 << 10)
        return (uint32_t)read_msr(0x802);
    return device(read_msr(0x1b) & 0xffffff000)[0x20 / 4] >> 24;
}

static void each_mtrr(void (*visit)(unsigned i, uint64_t value))
{
    static const uint16_t fixed[] = {0x2ff, 0x250, 0x258, 0x259, 0x268, 0x269,
                                     0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
    unsigned pairs = read_msr(0xfe) & 0xff, n = 0;
    for (unsigned i = 0; i < 12; i++)
        visit(n++, read_msr(fixed[i]));
    for (unsigned i = 0; i < 2 * pairs && n < MTRRS_MAX; i++)
        visit(n++, read_msr(0x200 + i));
}

static void keep_mtrr(unsigned i, uint64_t value)
{
    mtrrs[i] = value;
    nmtrrs = i + 1;
}

static void compare_mtrr(unsigned i, uint64_t value)
{
    check(i < nmtrrs && value == mtrrs[i], "MTRR is the boot CPU's", i);
}

static void check_own_stack(uint64_t rsp)
{
    for (unsigned i = 0; i < nstacks; i++)
        check(rsp - stacks[i] >= STACK_BYTES && stacks[i] - rsp >= STACK_BYTES, "stack is its own",
              rsp);
    stacks[nstacks++] = rsp;
}

/* On another CPU, alone. */
void ap_kernel_main(struct limine_mp_info *info)
{
    check_cpu(&ap_state, (uintptr_t)info);
    check(!ap_state.tr, "TR", ap_state.tr);
    check(own_lapic_id() == info->lapic_id, "CPU is the one it should be", info->lapic_id);
    check(info->extra_argument == argument, "extra argument", info->extra_argument);
    check((read_msr(0x1b) >> 10 & 3) == (apic_flags ? 3 : 2), "mode of the local APIC",
          read_msr(0x1b));
    check_own_stack(ap_state.rsp);
    each_mtrr(compare_mtrr);
    if (REVISION >= 5)
        check_lapic();
    running = 1;
    while (!released)
        __builtin_ia32_pause();
    __atomic_add_fetch(&met, 1, __ATOMIC_SEQ_CST);
}

static uint64_t now(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static bool wait_for(volatile unsigned *what, unsigned value)
{
    const struct limine_tsc_frequency_response *tsc = response_of(&tsc_request, "TSC response");
    uint64_t begin = now();
    while (*what != value && now() - begin < tsc->frequency * SECONDS)
        __builtin_ia32_pause();
    return *what == value;
}

static bool release(struct limine_mp_info *info)
{
    argument = 0xabcd0000 + info->lapic_id;
    info->extra_argument = argument;
    running = 0;
    __atomic_store_n(&info->goto_address, (uintptr_t)ap_entry, __ATOMIC_SEQ_CST);
    check(wait_for(&running, 1), "CPU came", info->lapic_id);
    return running;
}

static void check_info(const struct limine_mp_info *info)
{
    check(type_of((uintptr_t)info - hhdm()) == 5, "MP info in reclaimable memory", (uintptr_t)info);
    check(info->goto_address == 0, "goto_address is 0", info->lapic_id);
    check(info->extra_argument == 0, "extra_argument is 0", info->lapic_id);
}

void check_mp(void)
{
    const struct limine_mp_response *r = (const void *)(uintptr_t)mp_request.head.response;
    if (!mp_request.head.id[0]) {
        say("KERNEL has not asked for CPUs\r\n");
        return;
    }
    check(r && r->cpu_count >= 1 && r->cpu_count <= CPUS_MAX, "MP response", r ? r->cpu_count : 0);
    if (!r)
        return;
    struct limine_mp_info **cpus = (struct limine_mp_info **)r->cpus;
    check(r->bsp_lapic_id == own_lapic_id(), "boot CPU's id", r->bsp_lapic_id);
    check(r->flags == (read_msr(0x1b) >> 10 & 1), "flags say the mode of the APIC", r->flags);
    apic_flags = r->flags;
    stacks[nstacks++] = entry_state.rsp;
    each_mtrr(keep_mtrr);
    for (uint64_t i = 0; i < r->cpu_count; i++)
        check_info(cpus[i]);
    unsigned others = 0, self = 0;
    for (uint64_t i = 0; i < r->cpu_count; i++) {
        if (cpus[i]->lapic_id == r->bsp_lapic_id)
            self++;
        else
            others += release(cpus[i]);
    }
    check(self == 1, "boot CPU listed once", self);
    released = 1;
    check(wait_for(&met, others), "all CPUs run at once", met);
    say("KERNEL %u CPUs, MP flags %x, ids", r->cpu_count, (uint64_t)r->flags);
    for (uint64_t i = 0; i < r->cpu_count; i++)
        say(" %u/%u", (uint64_t)cpus[i]->lapic_id, (uint64_t)cpus[i]->processor_id);
    say("\r\n");
}
