/* The MADT: which processors the firmware lists, and which of their local interrupt inputs are
 * NMIs. Pure but for its messages; builds on a host: the table may say anything.
 * source: ACPI 6.5 "Multiple APIC Description Table (MADT)". */
#ifndef QL_KERNEL_MADT_H
#define QL_KERNEL_MADT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

#define MADT_NMIS_MAX 64
#define MADT_UID_ALL  UINT32_MAX

struct madt_cpu {
    uint32_t lapic_id; /* each once */
    uint32_t acpi_uid; /* ACPI's own number for it */
    bool enabled;      /* usable now */
    bool may_come;     /* not now, but it may be brought online later */
};

/* A local interrupt input that an NMI comes in on. */
struct madt_nmi {
    uint32_t acpi_uid; /* MADT_UID_ALL: of every CPU */
    uint8_t lint;      /* 0 or 1 */
    bool active_low, level;
};

struct madt {
    size_t ncpus, nnmis; /* in the table's order */
    struct madt_cpu cpus[CONFIG_CPUS_MAX];
    struct madt_nmi nmis[MADT_NMIS_MAX];
};

/* Read a table of that many bytes, its header included; its sum has been checked. What is wrong is
 * named, entry and value, and left out. NULL and 0: there is none, the list is empty. */
void madt_read(const void *table, size_t bytes, struct madt *out);

/* The processor with that id; NULL if it is not listed. */
const struct madt_cpu *madt_find(const struct madt *madt, uint32_t lapic_id);

#endif
