/* Reading the MADT. See madt.h. */
#include "madt.h"

#include "bytes.h"

enum {
    LENGTH = 4,         /* offset of the table's length */
    REVISION = 8,       /* of its revision */
    ONLINE_CAPABLE = 5, /* the revision from which on that flag has a meaning (ACPI 6.3) */
};

#define ALL_PROCESSORS 0xffffffffu

size_t madt_each(const uint8_t *madt, void (*visit)(const uint8_t *entry, void *context),
                 void *context)
{
    const size_t length = load32(madt + LENGTH);
    size_t at = MADT_ENTRIES;
    while (length - at >= 2 && madt[at + 1] >= 2 && madt[at + 1] <= length - at) {
        visit(madt + at, context);
        at += madt[at + 1];
    }
    return at;
}

/* The least length of an entry of that type which we read; 0: we do not. */
static uint8_t least_bytes(uint8_t type)
{
    switch (type) {
    case MADT_LOCAL_APIC:
        return 8;
    case MADT_LOCAL_X2APIC:
        return 16;
    default:
        return 0;
    }
}

struct cpu_walk {
    const uint8_t *madt;
    struct madt_cpus *out;
};

static void add_oddity(struct madt_cpus *out, size_t offset, uint64_t apic_id, const char *what)
{
    if (out->nodd < MADT_ODDITIES_MAX)
        out->odd[out->nodd] = (struct madt_oddity){(uint32_t)offset, apic_id, what};
    out->nodd++;
}

static bool is_listed(const struct madt_cpus *list, uint32_t apic_id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->cpus[i].apic_id == apic_id)
            return true;
    }
    return false;
}

static void add_cpu(struct cpu_walk *walk, size_t offset, struct madt_cpu cpu, uint32_t everybody)
{
    struct madt_cpus *out = walk->out;
    if (cpu.apic_id == everybody)
        add_oddity(out, offset, cpu.apic_id, "is enabled, but its id means all CPUs");
    else if (is_listed(out, cpu.apic_id))
        add_oddity(out, offset, cpu.apic_id, "is there a second time");
    else if (out->count == MP_CPUS_MAX)
        out->beyond++;
    else
        out->cpus[out->count++] = cpu;
}

static void cpu_entry(const uint8_t *e, void *context)
{
    struct cpu_walk *walk = context;
    const size_t offset = (size_t)(e - walk->madt);
    const uint8_t least = least_bytes(e[0]);
    if (!least)
        return;
    if (e[1] < least) {
        add_oddity(walk->out, offset, MADT_NO_ID, "is too short for a CPU");
        return;
    }
    const bool wide = e[0] == MADT_LOCAL_X2APIC;
    const uint32_t flags = load32(e + (wide ? 8 : 4)), enabled = 1, online_capable = 2;
    const struct madt_cpu cpu =
        wide ? (struct madt_cpu){load32(e + 4), load32(e + 12)} : (struct madt_cpu){e[3], e[2]};
    if (flags & enabled)
        add_cpu(walk, offset, cpu, wide ? 0xffffffff : 0xff);
    else if (flags & online_capable && walk->madt[REVISION] >= ONLINE_CAPABLE)
        walk->out->online_capable++;
    else
        walk->out->disabled++;
}

void madt_find_cpus(const uint8_t *madt, struct madt_cpus *out)
{
    struct cpu_walk walk = {madt, out};
    out->count = out->disabled = out->online_capable = out->beyond = out->nodd = 0;
    size_t end = madt_each(madt, cpu_entry, &walk), length = load32(madt + LENGTH);
    if (end < length)
        add_oddity(out, end, MADT_NO_ID,
                   length - end >= 2 && madt[end + 1] < 2
                       ? "has no length: nothing behind it is read"
                       : "reaches beyond the table");
}

struct lint_walk {
    uint32_t uid, *lint;
};

static void lint_entry(const uint8_t *e, void *context)
{
    const struct lint_walk *walk = context;
    uint32_t uid;
    uint16_t flags; /* as in the MP specification: polarity in bits 0-1, trigger in bits 2-3 */
    uint8_t lint;
    if (e[0] == MADT_LOCAL_NMI && e[1] >= 6) {
        uid = e[2] == 0xff ? ALL_PROCESSORS : e[2];
        flags = load16(e + 3);
        lint = e[5];
    } else if (e[0] == MADT_LOCAL_X2APIC_NMI && e[1] >= 12) {
        uid = load32(e + 4);
        flags = load16(e + 2);
        lint = e[8];
    } else {
        return;
    }
    const uint32_t masked = 1u << 16, delivery_nmi = 4u << 8, active_low = 1u << 13,
                   level = 1u << 15;
    if ((uid == ALL_PROCESSORS || uid == walk->uid) && lint < 2)
        walk->lint[lint] = masked | delivery_nmi | ((flags & 3) == 3 ? active_low : 0) |
                           ((flags >> 2 & 3) == 3 ? level : 0);
}

void madt_lints(const uint8_t *madt, uint32_t uid, uint32_t lint[2])
{
    struct lint_walk walk = {uid, lint};
    lint[0] = lint[1] = 0;
    madt_each(madt, lint_entry, &walk);
}
