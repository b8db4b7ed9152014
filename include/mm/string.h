/* Memory and string functions for a kernel without SSE; the C standard's contracts. */
#ifndef QL_MM_STRING_H
#define QL_MM_STRING_H

#include <stddef.h>
#include <stdint.h>

#ifdef QL_HOST
#include <string.h> /* the host's own; ours stand beside them under a ql_ prefix */
#define STRING_FUNCTION(name) ql_##name
#else
#define STRING_FUNCTION(name) name
#endif

void *STRING_FUNCTION(memcpy)(void *restrict dst, const void *restrict src, size_t bytes);
void *STRING_FUNCTION(memmove)(void *dst, const void *src, size_t bytes);
void *STRING_FUNCTION(memset)(void *dst, int value, size_t bytes);
int STRING_FUNCTION(memcmp)(const void *a, const void *b, size_t bytes);
size_t STRING_FUNCTION(strlen)(const char *s);
int STRING_FUNCTION(strcmp)(const char *a, const char *b);
int STRING_FUNCTION(strncmp)(const char *a, const char *b, size_t n);

/* Fill count 64-bit words, dst 8-byte aligned. */
void memset64(void *dst, uint64_t value, size_t count);

#endif
