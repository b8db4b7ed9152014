/* What the report says, before it is text or JSON: sums and names that both need.
 * Stage: after the memory take-over. */
#ifndef QL_KERNEL_FACTS_H
#define QL_KERNEL_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/cpus.h"
#include "mm/region.h"
#include "ranges.h"

/* The memory map by type. RAM is what the firmware's own map says is RAM, where we have that; else
 * every type but reserved, bad and framebuffer. Firmware keeps some without saying what it is, so
 * the sum is a little below what was bought. */
struct facts_memory {
    uint64_t bytes[MEM_TYPES];
    size_t regions[MEM_TYPES];
    uint64_t ram_bytes;
    uint64_t usable_bytes; /* usable and bootloader-reclaimable: what the frame allocator has */
};
void facts_memory(struct facts_memory *out);

/* Microseconds in the loader (its first instruction to the hand-over) and in the kernel (its first
 * instruction to the first report); 0: unknown. The same numbers at every call. */
struct facts_boot {
    uint64_t loader_usec, kernel_usec;
};
struct facts_boot facts_boot(void);

/* CPUs by state, and those of a node that are online. */
struct facts_cpus {
    unsigned online, absent, disabled;
};
void facts_cpus(struct facts_cpus *out);
unsigned facts_cpus_of_node(unsigned node);

/* "online", "absent", "disabled". */
const char *facts_cpu_state(enum cpu_state state);

/* "UEFI", "32-bit UEFI", "BIOS" or "unknown". */
const char *facts_firmware_type(void);

/* The version of the UEFI specification, "2.7" or "2.3.1"; "" if unknown. */
const char *facts_uefi_version(char *out, size_t bytes);

/* What the pages of a range, or of a whole space, are. Counts of pages are of 4 KiB, but for those
 * that the tables have, by size. */
struct facts_pages {
    uint64_t pages_4k, pages_2m, pages_1g;
    uint64_t mapped;   /* all of these */
    uint64_t on_touch; /* get memory when they are touched */
    uint64_t reserved; /* get memory when somebody says so */
    uint64_t owned;    /* mapped, and belong to ranges */
    uint64_t shared;   /* and to copies of the space, too */
};

struct facts_range {
    struct facts_pages pages;
    prot_t prot; /* of the first page, be it there or not; 0: a guard */
    cache_t cache;
    bool contiguous; /* all is mapped, in one piece from pa on */
    paddr_t pa;
};
void facts_range(const struct range *range, struct facts_range *out);
void facts_space(struct vm *vm, struct facts_pages *out);

/* "rw-", "r-x", "r--"; "---" for what is not mapped. */
const char *facts_prot(prot_t prot);

/* "WB", "WC", ... */
const char *facts_cache(cache_t cache);

#endif
