/* Memory and string functions for a kernel without SSE; the C standard's contracts. */
#ifndef QL_MM_STRING_H
#define QL_MM_STRING_H

#include <stddef.h>
#include <stdint.h>

#ifdef QL_HOST
#include <string.h> /* the host's own; ours are tested under the names below with a ql_ prefix */
#else
void *memcpy(void *restrict dst, const void *restrict src, size_t bytes);
void *memmove(void *dst, const void *src, size_t bytes);
void *memset(void *dst, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
#endif

/* Fill count 64-bit words, dst 8-byte aligned. */
void memset64(void *dst, uint64_t value, size_t count);

#endif
