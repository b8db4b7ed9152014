/* Starting the CPUs. Stage: boot services exited, the firmware's page tables in use, interrupts
 * off; the CPUs come up on the entry tables. All are started at once and share one time limit,
 * so the number of CPUs costs next to nothing. source: Intel SDM Vol. 3A "MP Initialization
 * Protocol Algorithm for MP Systems". */
#include "bytes.h"
#include "cpu.h"
#include "lapic.h"
#include "plan.h"

/* Early 64-bit CPUs want the 10 ms between INIT and startup that the manual names; what came later
 * needs next to nothing. It is spent once, not once per CPU. */
#define INIT_USEC      200
#define INIT_USEC_OLD  10000
#define STARTUP_USEC   200     /* until the second startup command, for those that did not hear */
#define PATIENCE_USEC  1000000 /* since a CPU parked last; emulated ones share their host */
#define AGAIN_USEC     20000   /* between further startup commands: see start_aps */
#define STOP_USEC      200     /* for INIT to arrive at those that are given up */
#define TSC_HZ_UNKNOWN 10000000000ull /* faster than any: what is waited for takes longer then */

static uint64_t ticks(const struct mp *mp, uint64_t usec)
{
    return usec * ((mp->tsc_hz ? mp->tsc_hz : TSC_HZ_UNKNOWN) / 1000000);
}

static void wait(const struct mp *mp, uint64_t usec)
{
    const uint64_t begin = cpu_rdtsc(), length = ticks(mp, usec);
    while (cpu_rdtsc() - begin < length)
        cpu_pause();
}

static uint64_t init_usec(void)
{
    const uint32_t intel = 0x756e6547, amd = 0x68747541, hygon = 0x6f677948; /* "Genu", ... */
    uint32_t vendor = cpuid(0, 0).ebx, family = cpuid(1, 0).eax >> 8 & 0xf;
    bool quick = cpu_has_hypervisor() || vendor == amd || vendor == hygon ||
                 (vendor == intel && family != 15);
    return quick ? INIT_USEC : INIT_USEC_OLD;
}

static uint32_t claim(const struct mp *mp, size_t i)
{
    return __atomic_load_n(&mp->slots[i].claim, __ATOMIC_ACQUIRE);
}

static void send_to_silent(const struct mp *mp, uint32_t command)
{
    for (size_t i = 1; i < mp->count; i++) {
        if (claim(mp, i) == AP_SILENT)
            lapic_send(mp->infos[i].lapic_id, command);
    }
}

static size_t count_parked(const struct mp *mp)
{
    size_t n = 0;
    for (size_t i = 1; i < mp->count; i++)
        n += claim(mp, i) == AP_PARKED;
    return n;
}

/* Until all are parked, or for so long none was. */
static bool wait_until_parked(const struct mp *mp, uint64_t usec)
{
    const uint64_t length = ticks(mp, usec);
    uint64_t begin = cpu_rdtsc();
    for (size_t before = 0; cpu_rdtsc() - begin < length; cpu_pause()) {
        size_t parked = count_parked(mp);
        if (parked == mp->count - 1)
            return true;
        if (parked != before)
            begin = cpu_rdtsc();
        before = parked;
    }
    return false;
}

/* A CPU that has not parked by now must not run any more: the memory it would run in is about to
 * be the kernel's. Who changes the claim first decides; INIT makes the CPU wait for another
 * startup. */
static void leave_out_late(const struct mp *mp)
{
    __atomic_store_n(&mp->page->open, 0, __ATOMIC_SEQ_CST);
    for (size_t i = 1; i < mp->count; i++) {
        uint32_t now = claim(mp, i);
        while (now != AP_PARKED &&
               !__atomic_compare_exchange_n(&mp->slots[i].claim, &now, AP_LEFT_OUT, false,
                                            __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            ;
        if (now != AP_PARKED)
            lapic_send(mp->infos[i].lapic_id, LAPIC_INIT);
    }
    wait(mp, STOP_USEC);
}

static void fill_page(struct boot_plan *plan)
{
    struct mp *mp = &plan->mp;
    struct ap_page *page = mp->page;
    handover_fill_page(plan, page, ap_code_32, ap_entry);
    page->open = 1;
    page->apic_base = lapic_base();
    page->count = mp->count;
    page->infos = plan_hhdm(plan, mp->infos);
    page->slots = plan_hhdm(plan, mp->slots);
    page->stacks = plan_hhdm(plan, mp->stacks);
    page->stack_bytes = mp->stack_bytes;
    page->x2apic = mp->x2apic;
    page->strict = plan->quiesce.strict;
    ap_save_mtrrs(&page->mtrrs);
}

static void start_aps(struct boot_plan *plan)
{
    const struct mp *mp = &plan->mp;
    const uint32_t startup = LAPIC_STARTUP | (uint32_t)((uintptr_t)mp->page / PAGE_BYTES);
    fill_page(plan);
    send_to_silent(mp, LAPIC_INIT);
    wait(mp, init_usec());
    send_to_silent(mp, startup);
    if (wait_until_parked(mp, STARTUP_USEC))
        return;
    /* One that did hear it ignores the next. One whose host had no time for it yet takes the INIT
     * only now, and has lost every startup that came before. */
    uint64_t begin = cpu_rdtsc();
    for (size_t before = 0; cpu_rdtsc() - begin < ticks(mp, PATIENCE_USEC);) {
        send_to_silent(mp, startup);
        if (wait_until_parked(mp, AGAIN_USEC))
            return;
        size_t parked = count_parked(mp);
        if (parked != before)
            begin = cpu_rdtsc();
        before = parked;
    }
    leave_out_late(mp);
}

void mp_set_apic_mode(const struct boot_plan *plan)
{
    if (plan->mp.response)
        lapic_set_mode(plan->mp.x2apic);
}

void mp_start(struct boot_plan *plan)
{
    struct mp *mp = &plan->mp;
    struct limine_mp_response *r = mp->response;
    if (!r)
        return;
    if (mp->count > 1)
        start_aps(plan);
    for (size_t i = 0; i < mp->count; i++) {
        if (i == 0 || claim(mp, i) == AP_PARKED)
            mp->pointers[r->cpu_count++] = plan_hhdm(plan, &mp->infos[i]);
    }
    r->flags = mp->x2apic ? LIMINE_MP_X2APIC : 0;
    r->bsp_lapic_id = mp->infos[0].lapic_id;
    r->cpus = plan_hhdm(plan, mp->pointers);
}
