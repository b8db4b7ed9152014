/* UTF-8, one byte at a time, from sources that may be anything. Pure; no stage. */
#ifndef QL_KERNEL_UTF8_H
#define QL_KERNEL_UTF8_H

#include <stdint.h>

#define UTF8_REPLACEMENT 0xfffdu

/* The most code points that one byte can complete: a broken sequence and the byte that broke it. */
#define UTF8_PUSH_MAX 2

struct utf8 {
    uint32_t code;     /* bits so far */
    uint8_t missing;   /* continuation bytes still to come */
    uint8_t low, high; /* what the next continuation byte may be */
};

/* Feed one byte; the state starts zeroed. Writes the code points that are now complete and returns
 * their number, 0..UTF8_PUSH_MAX. Malformed input (stray or missing continuation, overlong form,
 * surrogate, beyond U+10FFFF) yields one U+FFFD for each maximal broken piece; nothing is ever lost
 * behind it. source: RFC 3629; Unicode Standard "U+FFFD Substitution of Maximal Subparts" */
unsigned utf8_push(struct utf8 *state, uint8_t byte, uint32_t out[UTF8_PUSH_MAX]);

#endif
