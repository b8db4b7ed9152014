/* See lz4.h. A frame is a header and blocks; a block is a row of sequences: bytes to take as they
 * are (literals), then a match, which repeats bytes that were decoded before.
 * source: "LZ4 Frame Format Description" 1.6, "LZ4 Block Format Description" */
#include "lz4.h"

#include "bytes.h"

#define MAGIC 0x184d2204u

/* The header: magic, flags, largest block, content size, header checksum. Largest block and
 * checksum are not looked at: the room for the content is the limit, and its size must be right. */
enum {
    AT_FLAGS = 4,
    AT_CONTENT_BYTES = 6,
    HEADER_BYTES = 15,
};
#define FLAGS_NEEDED      0x48 /* version 1, with a content size */
#define FLAGS_INDEPENDENT 0x20 /* no matches into earlier blocks; we could follow them */

#define BLOCK_STORED 0x80000000u /* in a block's size: not compressed */

#define LENGTH_GOES_ON 15
#define MATCH_LEAST    4

struct input {
    const uint8_t *at, *end;
};

struct output {
    uint8_t *start, *at, *end;
};

static uint64_t input_left(const struct input *in)
{
    return (uint64_t)(in->end - in->at);
}

static uint64_t output_room(const struct output *out)
{
    return (uint64_t)(out->end - out->at);
}

EFI_STATUS lz4_content_bytes(const void *frame, uint64_t frame_bytes, uint64_t *out)
{
    const uint8_t *header = frame;
    if (frame_bytes < HEADER_BYTES)
        return EFI_END_OF_FILE;
    if (load32(header) != MAGIC || (header[AT_FLAGS] & ~FLAGS_INDEPENDENT) != FLAGS_NEEDED)
        return EFI_UNSUPPORTED;
    *out = load64(header + AT_CONTENT_BYTES);
    return EFI_SUCCESS;
}

/* The rest of a length whose four bits are full: bytes to add, up to one that is not 255. The sum
 * is at most 255 times the input, far from wrapping. */
static bool read_length(struct input *in, uint64_t *length)
{
    uint8_t byte = 255;
    if (*length != LENGTH_GOES_ON)
        return true;
    while (byte == 255) {
        if (in->at == in->end)
            return false;
        byte = *in->at++;
        *length += byte;
    }
    return true;
}

/* Append bytes from memory that may overlap the output's end, in ascending order: a match may
 * repeat what it has just written. wide: steps of eight bytes do the same, and there is room for
 * the last of them to go up to seven bytes too far. */
static void append(struct output *out, const uint8_t *from, uint64_t bytes, bool wide)
{
    uint8_t *to = out->at, *end = to + bytes;
    if (wide) {
        for (; to < end; to += 8, from += 8)
            store64(to, load64(from));
    } else {
        while (to < end)
            *to++ = *from++;
    }
    out->at = end;
}

static bool copy_literals(struct input *in, struct output *out, uint64_t bytes)
{
    if (!read_length(in, &bytes) || bytes > input_left(in) || bytes > output_room(out))
        return false;
    append(out, in->at, bytes, input_left(in) - bytes >= 7 && output_room(out) - bytes >= 7);
    in->at += bytes;
    return true;
}

static bool copy_match(struct input *in, struct output *out, uint64_t bytes)
{
    if (input_left(in) < 2)
        return false;
    uint64_t offset = load16(in->at);
    in->at += 2;
    if (!read_length(in, &bytes))
        return false;
    bytes += MATCH_LEAST;
    if (offset == 0 || offset > (uint64_t)(out->at - out->start) || bytes > output_room(out))
        return false;
    append(out, out->at - offset, bytes, offset >= 8 && output_room(out) - bytes >= 7);
    return true;
}

/* The last sequence of a block ends behind its literals. */
static bool decode_block(struct input in, struct output *out)
{
    while (in.at < in.end) {
        uint8_t token = *in.at++;
        if (!copy_literals(&in, out, token >> 4))
            return false;
        if (in.at == in.end)
            return true;
        if (!copy_match(&in, out, token & 15))
            return false;
    }
    return false;
}

/* A block that would not have become smaller is not compressed. */
static bool copy_block(struct input in, struct output *out)
{
    uint64_t bytes = input_left(&in);
    if (bytes > output_room(out))
        return false;
    append(out, in.at, bytes, false);
    return true;
}

EFI_STATUS lz4_decode(const void *frame, uint64_t frame_bytes, void *to, uint64_t to_bytes)
{
    uint64_t content;
    EFI_STATUS status = lz4_content_bytes(frame, frame_bytes, &content);
    if (EFI_ERROR(status))
        return status;
    struct input in = {(const uint8_t *)frame + HEADER_BYTES, (const uint8_t *)frame + frame_bytes};
    struct output out = {to, to, (uint8_t *)to + to_bytes};
    while (input_left(&in) >= 4) {
        uint32_t size = load32(in.at), bytes = size & ~BLOCK_STORED;
        in.at += 4;
        if (size == 0) /* the end mark: nothing may follow, nothing may be missing */
            return in.at == in.end && out.at == out.end && content == to_bytes
                       ? EFI_SUCCESS
                       : EFI_VOLUME_CORRUPTED;
        if (bytes > input_left(&in))
            return EFI_END_OF_FILE;
        struct input block = {in.at, in.at + bytes};
        if (!(size & BLOCK_STORED ? copy_block(block, &out) : decode_block(block, &out)))
            return EFI_VOLUME_CORRUPTED;
        in.at += bytes;
    }
    return EFI_END_OF_FILE;
}
