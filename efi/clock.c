/* Finding out how fast the TSC is without the PIT, which some laptops no longer have, and without
 * waiting where that can be helped: the timer is read when the boot begins and again when the
 * answer is needed. source: Intel SDM Vol. 3B "Determining the Processor Base Frequency"; ACPI
 * "Power Management Timer". */
#include "clock.h"

#include "acpi.h"
#include "cpu.h"
#include "firmware.h"

#define PM_HZ        3579545ull
#define PM_TICKS_MIN 3580u        /* 1 ms: the timer's own step is then 0.03 % */
#define TSC_FRESH    (1ull << 32) /* less than 4.7 s, after which a 24-bit timer wraps */
#define TSC_PATIENCE (1ull << 26) /* ticks in which a working timer has moved */
#define STALL_USEC   1000

struct sample {
    uint64_t tsc;
    uint32_t pm;
};

static uint16_t pm_port;
static uint32_t pm_mask;
static struct sample start;
static uint64_t tsc_hz;
static const char *tsc_source;

/* Both clocks at the moment the PM timer steps. False: it does not. */
static bool sample_edge(struct sample *out)
{
    uint32_t before = cpu_in32(pm_port) & pm_mask;
    uint64_t begin = cpu_rdtsc(), now;
    do {
        out->pm = cpu_in32(pm_port) & pm_mask;
        now = cpu_rdtsc();
        if (out->pm != before) {
            out->tsc = now;
            return true;
        }
    } while (now - begin < TSC_PATIENCE);
    return false;
}

void clock_start(void)
{
    pm_port = acpi_pm_timer(&pm_mask);
    if (pm_port && !sample_edge(&start))
        pm_port = 0;
}

static uint64_t hz_from_pm_timer(void)
{
    struct sample end;
    if (!pm_port)
        return 0;
    if (cpu_rdtsc() - start.tsc > TSC_FRESH && !sample_edge(&start))
        return 0; /* too long ago to know how often the timer wrapped: begin again */
    do {
        if (!sample_edge(&end))
            return 0;
    } while (((end.pm - start.pm) & pm_mask) < PM_TICKS_MIN);
    uint32_t ticks = (end.pm - start.pm) & pm_mask;
    return (end.tsc - start.tsc) * PM_HZ / ticks; /* below 2^33 * 2^22 */
}

static uint64_t hz_from_stall(void)
{
    uint64_t begin = cpu_rdtsc();
    if (EFI_ERROR(BS->Stall(STALL_USEC)))
        return 0;
    return (cpu_rdtsc() - begin) * (1000000 / STALL_USEC);
}

static uint64_t hz_from_leaf_15(void)
{
    struct cpuid ratio = cpuid_or_zero(0x15, 0);
    if (!ratio.eax || !ratio.ebx)
        return 0;
    if (ratio.ecx) /* the crystal's frequency */
        return (uint64_t)ratio.ecx * ratio.ebx / ratio.eax;
    /* Without it: the TSC runs at the base frequency. */
    return (cpuid_or_zero(0x16, 0).eax & 0xffff) * 1000000ull;
}

/* kHz, a convention that hypervisors share. */
static uint64_t hz_from_hypervisor(void)
{
    if (!cpu_has_hypervisor())
        return 0;
    return cpuid_or_zero(0x40000010, 0).eax * 1000ull;
}

static uint64_t hz_from_leaf_16(void)
{
    return (cpuid_or_zero(0x16, 0).eax & 0xffff) * 1000000ull;
}

uint64_t clock_tsc_hz(void)
{
    static const struct {
        uint64_t (*ask)(void);
        const char *name;
    } sources[] = {
        {hz_from_leaf_15, "CPUID leaf 0x15"},    {hz_from_hypervisor, "CPUID leaf 0x40000010"},
        {hz_from_leaf_16, "CPUID leaf 0x16"},    {hz_from_pm_timer, "ACPI PM timer"},
        {hz_from_stall, "the firmware's Stall"},
    };
    for (unsigned i = 0; !tsc_hz && i < sizeof sources / sizeof sources[0]; i++) {
        tsc_hz = sources[i].ask();
        tsc_source = sources[i].name;
    }
    return tsc_hz;
}

const char *clock_source(void)
{
    return tsc_hz ? tsc_source : "nothing";
}

uint64_t clock_usec(uint64_t ticks)
{
    if (!tsc_hz)
        return 0;
    return ticks / tsc_hz * 1000000 + ticks % tsc_hz * 1000000 / tsc_hz;
}

/* Days from 1970-01-01, with years that begin in March so that leap days come last. */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    if (month <= 2)
        year--;
    int64_t era = year / 400, year_of_era = year % 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static bool date_valid(const EFI_TIME *t)
{
    static const uint8_t days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return t->Year >= 1970 && t->Year <= 9999 && t->Month >= 1 && t->Month <= 12 && t->Day >= 1 &&
           t->Day <= days[t->Month - 1] && t->Hour < 24 && t->Minute < 60 && t->Second < 60 &&
           (t->TimeZone == EFI_UNSPECIFIED_TIMEZONE ||
            (t->TimeZone >= -1440 && t->TimeZone <= 1440));
}

bool clock_date(int64_t *out)
{
    EFI_TIME t = {0};
    if (EFI_ERROR(RT->GetTime(&t, NULL)) || !date_valid(&t))
        return false;
    int64_t days = days_from_civil(t.Year, t.Month, t.Day);
    *out = ((days * 24 + t.Hour) * 60 + t.Minute) * 60 + t.Second;
    /* source: UEFI "GetTime": UTC = local time + TimeZone, in minutes; a clock that does not say
     * its zone is taken to be on UTC */
    if (t.TimeZone != EFI_UNSPECIFIED_TIMEZONE)
        *out += t.TimeZone * 60ll;
    return true;
}
