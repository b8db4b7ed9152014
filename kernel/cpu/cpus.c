/* Owns: the table of CPUs; how the others come from the loader into our idle loop; their work
 * there.
 * Relies on: the boot context for who is parked, cpu_stacks for memory, lapic, calls, shootdown,
 * stop.
 * Stage: the boot CPU's entry from the first instruction (entry.S); cpus_adopt in the take-over.
 *
 *   loader: parked  --goto_address-->  ap_entry.S: our tables, stack, %gs
 *     -->  cpus_enter: protections, segments, local APIC; online  -->  idle  <-->  work
 *
 * Who has the last word on a CPU that is slow to come is decided by one compare and exchange of
 * its start: it, by having left the loader's memory, or the boot CPU, by giving up on it. */
#include "cpu/cpus.h"

#include "boot/context.h"
#include "boot/limine.h"
#include "check.h"
#include "console/print.h"
#include "cpu/calls.h"
#include "cpu/cpu.h"
#include "cpu/cpu_stacks.h"
#include "cpu/gdt.h"
#include "cpu/lapic.h"
#include "cpu/shootdown.h"
#include "cpu/stop.h"
#include "cpu/traps.h"
#include "firmware/nodes.h"
#include "lock.h"
#include "mm/heap.h"
#include "mm/vmm.h"
#include "panic/symbols.h"

#define PATIENCE_USEC 1000000 /* since a CPU came last; emulated ones share their host */

enum cpu_start {
    START_NONE,
    START_RELEASED, /* from the loader's parking place; it may be anywhere */
    START_LEFT,     /* it is on our tables, stack and text */
    START_ONLINE,
    START_GIVEN_UP, /* it must not go on */
};

enum work_state { WORK_NONE, WORK_COMING, WORK_READY };

/* ap_entry.S */
extern uint64_t ap_efer;
extern paddr_t ap_root;
extern const uint8_t ap_entry[];
_Noreturn void cpus_enter(struct cpu *self);

extern struct cpu cpus_all[CONFIG_CPUS_MAX]; /* entry.S: the first is the boot CPU's */
struct cpu cpus_all[CONFIG_CPUS_MAX];

uint64_t ap_efer;
paddr_t ap_root;
static struct segments *segments[CONFIG_CPUS_MAX];

static unsigned count = 1;
static struct cpu_set online = {{1}}; /* CPU 0, before it knows that there are others */

unsigned cpus_count(void)
{
    return count;
}

struct cpu *cpus_get(unsigned id)
{
    DCHECK(id < CONFIG_CPUS_MAX);
    return &cpus_all[id];
}

const struct cpu_set *cpus_online(void)
{
    return &online;
}

void cpus_leave(unsigned id)
{
    cpu_set_remove(&online, id);
}

bool cpus_in_stack(uint64_t address, uint64_t bytes)
{
    if (layout_in_stack(&boot_stacks, address, bytes))
        return true;
    for (unsigned i = 1; i < count; i++)
        if (cpus_all[i].stacks && layout_in_stack(cpus_all[i].stacks, address, bytes))
            return true;
    return false;
}

/* --- What a CPU does that has nothing to do -------------------------------------------------- */

/* Acquire: the work and what it is about. Release: what it did. */
static bool work_is_ready(struct cpu *self)
{
    return __atomic_load_n(&self->work_state, __ATOMIC_ACQUIRE) == WORK_READY;
}

/* An interrupt that comes between the look and the halt would be lost: they are off for the look,
 * and STI takes effect only behind the instruction that follows it. */
static __attribute__((noinline)) void wait_for_work(struct cpu *self)
{
    for (;;) {
        __asm__ volatile("cli" ::: "memory");
        if (work_is_ready(self))
            break;
        __asm__ volatile("sti\n\thlt" ::: "memory");
    }
    __asm__ volatile("sti" ::: "memory");
}

bool cpus_was_idle(const struct cpu *cpu)
{
    uint64_t offset, rip = cpu->at_panic.rip;
    return __atomic_load_n(&cpu->at_panic.stopped, __ATOMIC_ACQUIRE) &&
           symbols_find(rip, &offset) && rip - offset == (uint64_t)(uintptr_t)wait_for_work;
}

static _Noreturn void idle(struct cpu *self)
{
    for (;;) {
        wait_for_work(self);
        self->work(self->work_argument);
        __atomic_store_n(&self->work_state, WORK_NONE, __ATOMIC_RELEASE);
    }
}

bool cpus_run(unsigned id, cpu_function_t function, void *argument)
{
    uint32_t none = WORK_NONE;
    if (id == 0 || id >= CONFIG_CPUS_MAX || id == cpu_current()->id || !cpu_set_has(&online, id))
        return false;
    struct cpu *cpu = &cpus_all[id];
    if (!__atomic_compare_exchange_n(&cpu->work_state, &none, WORK_COMING, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    cpu->work = function;
    cpu->work_argument = argument;
    __atomic_store_n(&cpu->work_state, WORK_READY, __ATOMIC_RELEASE);
    lapic_send(cpu->lapic_id, VECTOR_CALL);
    return true;
}

void cpus_wait(unsigned id)
{
    while (__atomic_load_n(&cpus_get(id)->work_state, __ATOMIC_ACQUIRE) != WORK_NONE)
        calls_wait_turn();
}

/* --- How a CPU comes to us ------------------------------------------------------------------- */

/* Its first C, on its own stack and our tables. It is online, and so answers shootdowns, before it
 * counts as a user of the kernel's space: vmm_switch forgets what it may have walked before. */
_Noreturn void cpus_enter(struct cpu *self)
{
    uint32_t released = START_RELEASED;
    if (!__atomic_compare_exchange_n(&self->start, &released, START_LEFT, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        cpu_halt();
    gdt_load(segments[self->id], self->stacks);
    traps_join();
    cpu_protect();
    lapic_enable();
    cpu_set_add(&online, self->id);
    vmm_switch(vmm_kernel());
    __atomic_store_n(&self->start, START_ONLINE, __ATOMIC_RELEASE);
    idle(self);
}

/* What it needs of memory, before it comes: it could not ask for it itself. */
static mm_status_t prepare(struct cpu *cpu)
{
    mm_status_t status = mm_cpu_create(cpu->id, &cpu->mm);
    if (status == MM_OK)
        status = cpu_stacks_create(cpu->id, &cpu->stacks, &segments[cpu->id]);
    if (status != MM_OK)
        return status;
    cpu->stack_top = va_number(layout_stack_top(cpu->stacks, 0));
    return MM_OK;
}

/* From here on it may come at any moment. */
static void release(struct cpu *cpu, struct limine_mp_info *info)
{
    __atomic_store_n(&cpu->start, START_RELEASED, __ATOMIC_RELAXED);
    info->extra_argument = va_of(cpu).v;
    __atomic_store_n(&info->goto_address, va_of(ap_entry).v, __ATOMIC_RELEASE);
}

/* It waits, or is on its way, in the loader's memory: stop it there. */
static void give_up(struct cpu *cpu, const char *why)
{
    cpu->state = CPU_ABSENT;
    lapic_send_init(cpu->lapic_id);
    kprintf("CPU %u (local APIC id %u): %s: it is left out\n", cpu->id, cpu->lapic_id, why);
}

static unsigned count_started(enum cpu_start start)
{
    unsigned n = 0;
    for (unsigned i = 1; i < count; i++)
        n += __atomic_load_n(&cpus_all[i].start, __ATOMIC_ACQUIRE) == (uint32_t)start;
    return n;
}

/* Until no CPU is under way, or for so long none came. One that has left the loader's memory is on
 * text of ours and does arrive: it is waited for without limit. */
static void wait_for_all(void)
{
    uint64_t start = cpu_tsc(), patience = cpu_tsc_ticks(PATIENCE_USEC);
    for (unsigned last = 0, waiting; (waiting = count_started(START_RELEASED)) != 0;
         last = waiting) {
        if (waiting != last)
            start = cpu_tsc();
        else if (cpu_tsc() - start > patience)
            break;
        port_relax();
    }
    for (unsigned i = 1; i < count; i++) {
        uint32_t released = START_RELEASED;
        if (__atomic_compare_exchange_n(&cpus_all[i].start, &released, START_GIVEN_UP, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            give_up(&cpus_all[i], "it did not come from the loader");
    }
    while (count_started(START_LEFT) != 0)
        port_relax();
}

static void add_parked(const struct boot_cpu *parked)
{
    struct cpu *cpu = &cpus_all[count];
    cpu->self = cpu;
    cpu->id = count++;
    cpu->lapic_id = parked->lapic_id;
    cpu->acpi_uid = parked->acpi_uid;
    mm_status_t status = prepare(cpu);
    if (status == MM_OK)
        release(cpu, parked->info);
    else
        give_up(cpu, mm_status_name(status));
}

static void init_boot_cpu(void)
{
    const struct boot_context *boot = boot_context();
    struct cpu *self = cpu_current();
    self->stacks = &boot_stacks;
    self->lapic_id = lapic_id();
    self->acpi_uid = boot->bsp_acpi_uid;
    __atomic_store_n(&self->start, START_ONLINE, __ATOMIC_RELAXED);
    if (boot->have_cpus && lapic_present() && boot->bsp_lapic_id != self->lapic_id)
        kprintf("boot context: MP: the boot CPU is called 0x%x, but its local APIC id is 0x%x\n",
                boot->bsp_lapic_id, self->lapic_id);
}

bool cpus_adopt(void)
{
    const struct boot_context *boot = boot_context();
    lapic_init();
    init_boot_cpu();
    calls_init();
    shootdown_init();
    stop_init();
    ap_efer = cpu_read_msr(MSR_EFER);
    ap_root = vmm_kernel()->space.root;
    if (!lapic_present()) {
        if (boot->ncpus > 0)
            kprintf("%zu CPUs cannot be used without a local APIC\n", boot->ncpus);
        return boot->ncpus == 0 && !boot->cpus_lost;
    }
    for (size_t i = 0; i < boot->ncpus; i++)
        add_parked(&boot->cpus[i]);
    wait_for_all();
    return !boot->cpus_lost;
}

/* --- What the firmware says of them ---------------------------------------------------------- */

static bool is_known(uint32_t lapic_id)
{
    for (unsigned i = 0; i < count; i++)
        if (cpus_all[i].lapic_id == lapic_id)
            return true;
    return false;
}

void cpus_start(void)
{
    const struct madt *madt = nodes_madt();
    for (size_t i = 0; i < madt->ncpus && count < CONFIG_CPUS_MAX; i++) {
        const struct madt_cpu *listed = &madt->cpus[i];
        if (is_known(listed->lapic_id))
            continue;
        struct cpu *cpu = &cpus_all[count];
        cpu->self = cpu;
        cpu->id = count++;
        cpu->lapic_id = listed->lapic_id;
        cpu->acpi_uid = listed->acpi_uid;
        cpu->state = listed->enabled ? CPU_ABSENT : CPU_DISABLED;
    }
    for (unsigned i = 0; i < count; i++) {
        cpus_all[i].node = nodes_of_cpu(cpus_all[i].lapic_id);
        if (nodes_count() > 1)
            heap_set_node(i, cpus_all[i].node);
    }
    __asm__ volatile("sti" ::: "memory");
}
