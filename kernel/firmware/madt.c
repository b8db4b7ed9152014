/* Owns: reading the MADT. Relies on: subtables.c for the walk. No stage. */
#include "firmware/madt.h"

#include "console/print.h"
#include "firmware/subtables.h"
#include "mm/string.h"

#define HEADER_BYTES   36 /* of any table; behind it 8 more, then the entries */
#define ENTRIES        44
#define REVISION       8 /* offset of the table's revision, */
#define MAY_COME_SINCE 5 /* from which on the flag "online capable" means something (ACPI 6.3) */

enum entry_type {
    LOCAL_APIC = 0,
    LOCAL_APIC_NMI = 4,
    LOCAL_X2APIC = 9,
    LOCAL_X2APIC_NMI = 10,
    FIRST_UNKNOWN = 0x19, /* to ACPI 6.5; there are some that no PC has below it */
    FIRST_OEM = 0x80,
};

enum cpu_flag { FLAG_ENABLED = 1, FLAG_MAY_COME = 2 };

/* Polarity and trigger, as in the MultiProcessor Specification; 0: the bus's default. */
#define INPUT_ACTIVE_LOW 3u /* of bits 0-1 */
#define INPUT_LEVEL      3u /* of bits 2-3 */

struct walk {
    struct subtables table;
    struct madt *out;
    bool knows_may_come;
    unsigned unusable; /* entries that are not enabled */
};

const struct madt_cpu *madt_find(const struct madt *madt, uint32_t lapic_id)
{
    for (size_t i = 0; i < madt->ncpus; i++)
        if (madt->cpus[i].lapic_id == lapic_id)
            return &madt->cpus[i];
    return NULL;
}

/* Firmware fills unused entries with any id, often with that of a CPU that exists: an entry that is
 * not enabled never takes an id from one that is, and is not wrong for having the same. */
static void add_cpu(struct walk *walk, size_t offset, struct madt_cpu cpu)
{
    struct madt *out = walk->out;
    struct madt_cpu *same = (struct madt_cpu *)madt_find(out, cpu.lapic_id); /* it is ours */

    if (same && same->enabled && cpu.enabled)
        subtables_complain(&walk->table, offset, "local APIC id %u is listed already",
                           cpu.lapic_id);
    else if (same && cpu.enabled)
        *same = cpu;
    else if (!same && out->ncpus == CONFIG_CPUS_MAX)
        subtables_complain(&walk->table, offset,
                           "local APIC id %u: only %u CPUs are handled (CONFIG_CPUS_MAX)",
                           cpu.lapic_id, CONFIG_CPUS_MAX);
    else if (!same)
        out->cpus[out->ncpus++] = cpu;
}

static void read_cpu(struct walk *walk, const struct subtable *entry)
{
    bool wide = entry->type == LOCAL_X2APIC;
    uint32_t everybody = wide ? UINT32_MAX : UINT8_MAX;
    uint32_t flags = subtable_u32(entry, wide ? 8 : 4);
    struct madt_cpu cpu = {
        .lapic_id = wide ? subtable_u32(entry, 4) : entry->at[3],
        .acpi_uid = wide ? subtable_u32(entry, 12) : entry->at[2],
        .enabled = flags & FLAG_ENABLED,
    };

    cpu.may_come = !cpu.enabled && walk->knows_may_come && (flags & FLAG_MAY_COME);
    walk->unusable += !cpu.enabled;
    if (cpu.lapic_id != everybody)
        add_cpu(walk, entry->offset, cpu);
    else if (cpu.enabled)
        subtables_complain(&walk->table, entry->offset,
                           "local APIC id %u is enabled, but it addresses all CPUs", cpu.lapic_id);
}

static void read_nmi(struct walk *walk, const struct subtable *entry)
{
    struct madt *out = walk->out;
    bool wide = entry->type == LOCAL_X2APIC_NMI;
    uint32_t uid = wide ? subtable_u32(entry, 4) : entry->at[2];
    uint16_t flags = subtable_u16(entry, wide ? 2 : 3);
    uint8_t lint = entry->at[wide ? 8 : 5];

    if (!wide && uid == UINT8_MAX)
        uid = MADT_UID_ALL;
    if (lint > 1)
        subtables_complain(&walk->table, entry->offset, "NMI at local input %u: there are two",
                           lint);
    else if (out->nnmis == MADT_NMIS_MAX)
        subtables_complain(&walk->table, entry->offset, "NMI of processor %u: more than %u of them",
                           uid, MADT_NMIS_MAX);
    else
        out->nmis[out->nnmis++] = (struct madt_nmi){uid, lint, (flags & 3) == INPUT_ACTIVE_LOW,
                                                    (flags >> 2 & 3) == INPUT_LEVEL};
}

static uint8_t least_bytes(uint8_t type)
{
    static const uint8_t bytes[] = {
        [LOCAL_APIC] = 8, [LOCAL_APIC_NMI] = 6, [LOCAL_X2APIC] = 16, [LOCAL_X2APIC_NMI] = 12};
    return type < sizeof bytes ? bytes[type] : 0;
}

static void visit(const struct subtable *entry, void *context)
{
    struct walk *walk = context;
    uint8_t least = least_bytes(entry->type);

    if (entry->bytes < least)
        subtables_complain(&walk->table, entry->offset, "type %u is only %u bytes long, not %u",
                           entry->type, entry->bytes, least);
    else if (entry->type == LOCAL_APIC || entry->type == LOCAL_X2APIC)
        read_cpu(walk, entry);
    else if (entry->type == LOCAL_APIC_NMI || entry->type == LOCAL_X2APIC_NMI)
        read_nmi(walk, entry);
    else if (entry->type >= FIRST_UNKNOWN && entry->type < FIRST_OEM)
        subtables_complain(&walk->table, entry->offset, "type %u is unknown", entry->type);
}

void madt_read(const void *table, size_t bytes, struct madt *out)
{
    struct walk walk = {.table = {"MADT", 0}, .out = out};

    memset(out, 0, sizeof *out);
    if (bytes == 0)
        return;
    if (bytes < ENTRIES) {
        kprintf("ACPI: MADT: length %zu, at least %u are needed\n", bytes, ENTRIES);
        return;
    }
    walk.knows_may_come = ((const uint8_t *)table)[REVISION] >= MAY_COME_SINCE;
    subtables_each(&walk.table, table, bytes, ENTRIES, visit, &walk);
    if (walk.unusable > 0)
        kprintf("ACPI: MADT: %u of the processor entries are not enabled\n", walk.unusable);
}
