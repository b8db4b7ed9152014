/* The MP feature: all CPUs of the machine, parked for the kernel. mp_prepare finds them and
 * allocates what they need while boot services live; mp_start starts them when these are gone. A
 * kernel that does not ask for the feature gets none of it. source: Limine "MP Feature". */
#ifndef QL_EFI_MP_H
#define QL_EFI_MP_H

#include <efi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ap.h"
#include "madt.h"
#include "status.h"

struct mp {
    struct limine_mp_response *response; /* NULL: the kernel did not ask */
    uint64_t tsc_hz;                     /* 0: unknown */
    bool x2apic;                         /* the mode all local APICs are to be in */
    size_t count;                        /* CPUs to answer with; number 0 is the one we run on */
    struct limine_mp_info *infos;
    struct ap_slot *slots;
    uint64_t *pointers; /* the response's, to infos */
    uint8_t *stacks;    /* for all but the first */
    uint64_t stack_bytes;
    struct ap_page *page;  /* set if count > 1 */
    struct madt_cpus madt; /* what the table said */
};

struct boot_plan;

/* If the kernel asks: find the CPUs, say what is odd about the table, allocate. Less than all of
 * the CPUs is not an error. errors: EFI_OUT_OF_RESOURCES; EFI_UNSUPPORTED if the kernel wants
 * xAPIC mode and the machine cannot be brought into it; after a sentence */
EFI_STATUS mp_prepare(struct boot_plan *plan) MUST_USE;

/* The answer to the request, NULL if there is none; complete after mp_start. The last chance to ask
 * the firmware how fast the TSC is. */
void *mp_answer(struct boot_plan *plan);

/* What CPUs need of the entry tables until they park, in the half that the kernel finds empty. */
bool mp_map(struct boot_plan *plan) MUST_USE;

/* Bring the local APIC of the CPU we run on into its mode: before it is quiesced. Boot services
 * exited. */
void mp_set_apic_mode(const struct boot_plan *plan);

/* Start the CPUs, wait until they are parked, complete the response with those that are. Boot
 * services exited, entry tables built, the firmware's in use. */
void mp_start(struct boot_plan *plan);

#endif
