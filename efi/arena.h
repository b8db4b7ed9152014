/* Memory for what the kernel is handed: small pieces of bootloader-reclaimable pages, never freed
 * one by one. Stage: boot services alive. */
#ifndef QL_EFI_ARENA_H
#define QL_EFI_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
    uint8_t *next, *end; /* of the pages allocated last */
    bool failed;         /* an allocation was refused; asked once at the end */
};

/* Zeroed, 16-byte aligned; NULL if the firmware has no memory left. */
void *arena_alloc(struct arena *arena, size_t bytes);

/* A copy of the text; NULL likewise. */
char *arena_text(struct arena *arena, const char *text);

#endif
