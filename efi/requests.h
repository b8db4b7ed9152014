/* Finding a kernel's base revision tag and requests in its loaded image. Pure, builds on a host.
 * source: Limine "Base protocol revisions", "Requests Delimiters", "Features". */
#ifndef QL_EFI_REQUESTS_H
#define QL_EFI_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf.h"
#include "fault.h"
#include "status.h"

#define REQUESTS_MAX 128

/* The features we know by name, in the order of the table in requests.c. */
enum feature {
    FEATURE_UNKNOWN,
    FEATURE_BOOTLOADER_INFO,
    FEATURE_EXECUTABLE_CMDLINE,
    FEATURE_FIRMWARE_TYPE,
    FEATURE_STACK_SIZE,
    FEATURE_HHDM,
    FEATURE_FRAMEBUFFER,
    FEATURE_PAGING_MODE,
    FEATURE_MP,
    FEATURE_MEMMAP,
    FEATURE_ENTRY_POINT,
    FEATURE_EXECUTABLE_FILE,
    FEATURE_MODULE,
    FEATURE_RSDP,
    FEATURE_SMBIOS,
    FEATURE_EFI_SYSTEM_TABLE,
    FEATURE_EFI_MEMMAP,
    FEATURE_DATE_AT_BOOT,
    FEATURE_EXECUTABLE_ADDRESS,
    FEATURE_BOOTLOADER_PERFORMANCE,
    FEATURE_TSC_FREQUENCY,
    FEATURE_ENTROPY,
    FEATURE_KEEP_IOMMU,
    FEATURE_COUNT
};

struct found_request {
    enum feature feature;
    uint64_t id[2];  /* the feature's own two words */
    uint64_t offset; /* of the request from the image's first byte */
    bool answered;   /* by responses.c */
};

struct request_list {
    uint64_t base_revision;
    uint64_t tag_offset; /* of the base revision tag */
    size_t count;
    struct found_request found[REQUESTS_MAX];
};

/* Scan what the file put into the image (never the zeroed rest), honouring the markers.
 * errors: false with the fault filled: no tag, a base revision outside LIMINE_REVISION_MIN..MAX, a
 *         request twice, more than REQUESTS_MAX, a request that sticks out of the image */
bool requests_find(const struct elf_image *image, const void *memory, struct request_list *out,
                   struct fault *fault) MUST_USE;

/* The request of that feature in the loaded image, NULL if the kernel has none. */
void *requests_get(const struct request_list *list, enum feature feature, void *memory);

/* "memory map", ...; "unknown feature" for what we do not know. */
const char *feature_name(enum feature feature);

#endif
