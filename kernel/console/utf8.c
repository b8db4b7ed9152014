/* Owns: the decoding of UTF-8. Relies on: nothing. Stage: any. */
#include "console/utf8.h"

/* Begin a sequence with a byte that is no continuation. True if it is complete by itself. The
 * limits of the second byte are what keeps overlong forms, surrogates and numbers beyond U+10FFFF
 * out. */
static int utf8_begin(struct utf8 *state, uint8_t byte, uint32_t *out)
{
    *state = (struct utf8){.low = 0x80, .high = 0xbf};
    if (byte < 0x80) {
        *out = byte;
        return 1;
    }
    if (byte >= 0xc2 && byte <= 0xdf) {
        state->missing = 1;
        state->code = byte & 0x1f;
    } else if (byte >= 0xe0 && byte <= 0xef) {
        state->missing = 2;
        state->code = byte & 0x0f;
        if (byte == 0xe0)
            state->low = 0xa0;
        if (byte == 0xed)
            state->high = 0x9f;
    } else if (byte >= 0xf0 && byte <= 0xf4) {
        state->missing = 3;
        state->code = byte & 0x07;
        if (byte == 0xf0)
            state->low = 0x90;
        if (byte == 0xf4)
            state->high = 0x8f;
    } else {
        *out = UTF8_REPLACEMENT; /* a stray continuation, c0, c1, f5 and up */
        return 1;
    }
    return 0;
}

unsigned utf8_push(struct utf8 *state, uint8_t byte, uint32_t out[UTF8_PUSH_MAX])
{
    unsigned n = 0;

    if (state->missing) {
        if (byte >= state->low && byte <= state->high) {
            state->code = state->code << 6 | (byte & 0x3f);
            state->low = 0x80;
            state->high = 0xbf;
            if (--state->missing)
                return 0;
            out[0] = state->code;
            return 1;
        }
        out[n++] = UTF8_REPLACEMENT;
    }
    n += (unsigned)utf8_begin(state, byte, &out[n]);
    return n;
}
