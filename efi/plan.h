/* Everything a boot consists of, from the file to the tables; what the parts of boot.c share. */
#ifndef QL_EFI_PLAN_H
#define QL_EFI_PLAN_H

#include "arena.h"
#include "boot.h"
#include "elf.h"
#include "handover.h"
#include "kernel_file.h"
#include "limine_map.h"
#include "mp.h"
#include "pagetables.h"
#include "quiesce.h"
#include "requests.h"

#define CARVE_OUTS_MAX  512
#define STACK_BYTES_MIN 0x10000ull /* the protocol's */
#define STACK_BYTES_MAX (256ull << 20)
#define HHDM_BASE_4     0xffff800000000000ull /* where the upper half begins with 4 levels */
#define HHDM_BASE_5     0xff00000000000000ull

struct boot_plan {
    const struct options *options;
    bool dry;   /* only looking: nothing outside our memory changes */
    UINTN mark; /* what is to be freed when the plan is discarded */

    struct kernel_file file;
    struct elf_image elf;
    uint8_t *image; /* the loaded image, identity-mapped */
    uint64_t slide; /* virtual, added to the addresses in elf */
    struct request_list requests;
    uint64_t entry, stack_top; /* virtual, as the kernel sees them */
    uint64_t stack_bytes;      /* whole pages */
    uint64_t hhdm;

    struct arena arena;
    char *cmdline; /* shared by two responses */
    struct efi_memmap efi_map;
    size_t ncarve_outs;
    struct carve_out carve_outs[CARVE_OUTS_MAX];
    struct limine_map map;
    struct page_tables tables;
    struct quiesce_plan quiesce;
    struct mp mp;
    struct handover *handover;
    struct ap_page *step; /* by which the levels are changed; NULL: they stay */

    bool have_framebuffer;
    struct limine_video_mode mode;
    uint64_t framebuffer_base;

    /* responses whose numbers are only known at the very end */
    struct limine_memmap_response *memmap_response;
    uint64_t *memmap_pointers;
    struct limine_efi_memmap_response *efi_memmap_response;
    struct limine_bootloader_performance_response *performance_response;
};

/* responses.c: answer every request we can. errors: out of memory, or an answer that cannot be
 * given and without which the kernel must not run; after a sentence */
EFI_STATUS responses_answer(struct boot_plan *plan) MUST_USE;

/* Write the numbers that depend on the final memory map and on the time. No firmware calls. */
void responses_finish(struct boot_plan *plan);

/* boot.c: convert the EFI memory map as fetched last and build the tables for it. No firmware
 * calls. errors: EFI_OUT_OF_RESOURCES if the map grew beyond the room made for it */
EFI_STATUS plan_lay_out(struct boot_plan *plan) MUST_USE;

/* Lay a type over a range. False if there are too many. */
bool plan_carve(struct boot_plan *plan, uint64_t base, uint64_t bytes, enum limine_type type);

/* The address at which the kernel sees something of ours. */
static inline uint64_t plan_hhdm(const struct boot_plan *plan, const void *pointer)
{
    return pointer ? plan->hhdm + (uintptr_t)pointer : 0;
}

/* Say what is being done, if asked to. */
#define VERBOSE(plan, ...)            \
    do {                              \
        if ((plan)->options->verbose) \
            print(__VA_ARGS__);       \
    } while (0)

#endif
