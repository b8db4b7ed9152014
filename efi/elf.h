/* Reading, loading and relocating an x86-64 ELF executable. Pure: no firmware calls, builds on a
 * host. Everything in the file is taken as hostile; nothing is written outside the memory given. */
#ifndef QL_EFI_ELF_H
#define QL_EFI_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "status.h"

#define ELF_SEGMENTS_MAX 64
#define ELF_HEADERS_MAX  512                   /* program headers of any type */
#define ELF_BYTES_MAX    (1ull << 30)          /* image in memory; the window is 2 GiB */
#define ELF_WINDOW_BASE  0xffffffff80000000ull /* protocol: "Entry memory layout" */
#define ELF_WINDOW_END   0xfffffffffffff000ull /* the last page stays out: ends never wrap */

struct elf_segment {
    uint64_t va, memory_bytes; /* as linked */
    uint64_t offset, file_bytes;
    uint32_t flags; /* ELF_PF_* */
};

struct elf_image {
    const uint8_t *file;
    uint64_t file_bytes;
    bool movable; /* ET_DYN: may be slid; ET_EXEC may not */
    uint64_t entry;
    uint64_t base, end;                 /* of all segments as linked, multiples of 4 KiB */
    uint64_t align;                     /* the largest p_align, at least 4 KiB */
    uint64_t dynamic_va, dynamic_bytes; /* bytes 0: none */
    size_t nsegments;
    struct elf_segment
        segments[ELF_SEGMENTS_MAX]; /* by ascending va, none empty, none overlapping */
};

/* Pages with one protection. */
struct elf_run {
    uint64_t va, bytes; /* as linked, multiples of 4 KiB */
    uint32_t flags;     /* ELF_PF_*, the union of the segments that share the page */
};
#define ELF_RUNS_MAX (2 * ELF_SEGMENTS_MAX + 1)

/* Check the headers and fill the image, which keeps pointing into the file.
 * errors: false, and the fault says which field of what */
bool elf_parse(const void *file, uint64_t bytes, struct elf_image *out,
               struct fault *fault) MUST_USE;

/* Copy the segments to memory (end - base bytes, stands for address base) and zero all the rest. */
void elf_load(const struct elf_image *image, void *memory);

/* Relocate the loaded image for running slide bytes above where it is linked.
 * errors: false with the fault filled; memory is then half relocated */
bool elf_relocate(const struct elf_image *image, void *memory, uint64_t slide,
                  struct fault *fault) MUST_USE;

/* Cut the image into runs of pages with one protection, ascending; returns how many. */
size_t elf_runs(const struct elf_image *image, struct elf_run runs[static ELF_RUNS_MAX]);

/* True if va (as linked) lies on a page that may be executed. */
bool elf_is_executable(const struct elf_image *image, uint64_t va);

#endif
