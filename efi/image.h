/* The kernel's image in memory: where it goes, what it asks for. Steps of boot_prepare. */
#ifndef QL_EFI_IMAGE_H
#define QL_EFI_IMAGE_H

#include <efi.h>

#include "status.h"

struct boot_plan;

/* Check the ELF, choose its place, load and relocate it. errors: any status, after a sentence */
EFI_STATUS image_load(struct boot_plan *plan) MUST_USE;

/* Find base revision and requests, and say in the tag which revision is used. errors: likewise */
EFI_STATUS image_find_requests(struct boot_plan *plan) MUST_USE;

#endif
