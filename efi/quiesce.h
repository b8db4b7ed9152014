/* Silencing the interrupt controllers, and from base revision 5 bringing local APIC and IOMMUs into
 * the state the protocol names. source: Limine "Machine state at entry". */
#ifndef QL_EFI_QUIESCE_H
#define QL_EFI_QUIESCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IO_APICS_MAX 64
#define IOMMUS_MAX   64

/* What was found in the ACPI tables while boot services were alive. */
struct quiesce_plan {
    bool strict;     /* base revision 5 and up */
    bool keep_iommu; /* the kernel asked for it */
    size_t nio_apics, nvtds, namd_vis;
    uint64_t io_apics[IO_APICS_MAX];
    uint64_t vtds[IOMMUS_MAX];    /* Intel VT-d register bases */
    uint64_t amd_vis[IOMMUS_MAX]; /* AMD-Vi register bases */
    uint32_t lint_nmi[2];         /* LVT value of a LINT that is an NMI; 0: it is not */
    bool overflow;                /* there are more than we have room for */
};

/* Read MADT, DMAR and IVRS; changes nothing. After acpi_init. */
void quiesce_prepare(struct quiesce_plan *plan, uint64_t base_revision, bool keep_iommu);

/* Do it. Boot services exited, interrupts off, the firmware's page tables still in use. */
void quiesce(const struct quiesce_plan *plan);

#endif
