/* The MADT: which CPUs there are, and which of their local interrupt inputs are NMIs. Pure, builds
 * on a host: the table comes from firmware and may say anything. source: ACPI "Multiple APIC
 * Description Table (MADT)". */
#ifndef QL_EFI_MADT_H
#define QL_EFI_MADT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MADT_ENTRIES 44 /* where the entries begin: what a table must have at least */

/* CPUs that are looked after, the one we run on included; the rest is reported and not started.
 * Each costs 8 bytes here, and if it is started 48 and its stack. Any number that memory allows. */
#define MP_CPUS_MAX 1024

#define MADT_ODDITIES_MAX 8 /* the first so many get a sentence each, the rest a number */

enum {
    MADT_LOCAL_APIC = 0,
    MADT_IO_APIC = 1,
    MADT_LOCAL_NMI = 4,
    MADT_LOCAL_X2APIC = 9,
    MADT_LOCAL_X2APIC_NMI = 10,
};

struct madt_cpu {
    uint32_t apic_id, uid; /* uid: ACPI's own number for it */
};

#define MADT_NO_ID UINT64_MAX

/* An entry that makes no sense, for a sentence: the APIC id it names, and what is wrong with it. */
struct madt_oddity {
    uint32_t offset;
    uint64_t apic_id; /* MADT_NO_ID: it names none */
    const char *what;
};

struct madt_cpus {
    size_t count; /* CPUs that are enabled, each id once, in the table's order */
    struct madt_cpu cpus[MP_CPUS_MAX];
    size_t disabled;       /* entries whose CPU is absent or switched off */
    size_t online_capable; /* whose CPU the operating system may bring online later by ACPI */
    size_t beyond;         /* enabled ones for which there was no room */
    size_t nodd;
    struct madt_oddity odd[MADT_ODDITIES_MAX]; /* the first of nodd */
};

/* Call visit for each entry that lies whole in the table. Returns the offset at which that ended:
 * the table's length, or that of an entry which cannot be passed. */
size_t madt_each(const uint8_t *madt, void (*visit)(const uint8_t *entry, void *context),
                 void *context);

/* List the CPUs. The table is as long as it says, and that is at least MADT_ENTRIES. */
void madt_find_cpus(const uint8_t *madt, struct madt_cpus *out);

/* The LVT values of the inputs LINT0 and LINT1 of the CPU with that uid where they are NMIs:
 * masked, with polarity and trigger; 0 where they are not. */
void madt_lints(const uint8_t *madt, uint32_t uid, uint32_t lint[2]);

#endif
