/* Owns: the reading of font files, which may be anything: nothing outside them is touched.
 * Relies on: utf8.c. Stage: any.
 * source: Linux kbd, "PSF" font file format, version 2. */
#include "console/font.h"

#include "console/utf8.h"
#include "mm/string.h"

#define PSF_MAGIC        0x864ab572u
#define PSF_HEADER_BYTES 32u
#define PSF_FLAG_TABLE   0x01u
#define PSF_SEQUENCE     0xfeu
#define PSF_END          0xffu

#define SLOT_GLYPH_BITS 10
_Static_assert(FONT_MAX_GLYPHS == 1 << SLOT_GLYPH_BITS, "a slot holds any glyph number");
_Static_assert((FONT_SLOTS & (FONT_SLOTS - 1)) == 0, "slots are masked, not divided");

/* The files are little-endian and lie at any address. */
static uint32_t read32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static unsigned slot_of(uint32_t code)
{
    return (code * 0x9e3779b1u) >> 16 &
           (FONT_SLOTS - 1); /* the top of a golden-ratio product is well mixed */
}

/* Remember that a glyph shows a code point; the first one to claim it keeps it. Beyond three
 * quarters the table would get slow, then full: what comes later is not shown. */
static void slot_add(struct font *font, uint32_t code, unsigned glyph)
{
    unsigned i = slot_of(code);

    if (code == 0 || code > 0x10ffff || font->nslots >= FONT_SLOTS / 4 * 3)
        return;
    for (; font->slots[i]; i = (i + 1) & (FONT_SLOTS - 1))
        if (font->slots[i] >> SLOT_GLYPH_BITS == code)
            return;
    font->slots[i] = code << SLOT_GLYPH_BITS | glyph;
    font->nslots++;
}

/* For each glyph in turn: characters, then maybe sequences, which a console of cells has no use for,
 * then the end mark. UTF-8, with marks that no UTF-8 text contains. */
static void read_table(struct font *font, const uint8_t *p, const uint8_t *end)
{
    unsigned glyph = 0;
    bool in_sequence = false;
    struct utf8 utf8 = {0};

    for (; p < end && glyph < font->nglyphs; p++) {
        uint32_t codes[UTF8_PUSH_MAX];
        if (*p == PSF_END || *p == PSF_SEQUENCE) {
            in_sequence = *p == PSF_SEQUENCE;
            glyph += *p == PSF_END;
            utf8 = (struct utf8){0};
        } else if (!in_sequence) {
            unsigned n = utf8_push(&utf8, *p, codes);
            for (unsigned i = 0; i < n; i++)
                slot_add(font, codes[i], glyph);
        }
    }
}

/* Check the numbers of the header against the limits and the bytes that are there. */
static bool font_set_glyphs(struct font *font, const uint8_t *file, size_t bytes, size_t header)
{
    if (font->width == 0 || font->width > FONT_MAX_WIDTH || font->height == 0 ||
        font->height > FONT_MAX_HEIGHT || font->nglyphs == 0 || font->nglyphs > FONT_MAX_GLYPHS)
        return false;
    font->row_bytes = (font->width + 7) / 8;
    if (font->glyph_bytes != font->row_bytes * font->height)
        return false;
    font->glyphs = file + header;
    return header <= bytes && (size_t)font->nglyphs * font->glyph_bytes <= bytes - header;
}

static bool open_file(struct font *font, const uint8_t *file, size_t bytes)
{
    if (bytes < PSF_HEADER_BYTES || read32(file) != PSF_MAGIC)
        return false;
    uint32_t header = read32(file + 8);
    font->has_table = read32(file + 12) & PSF_FLAG_TABLE;
    font->nglyphs = read32(file + 16);
    font->glyph_bytes = read32(file + 20);
    font->height = read32(file + 24);
    font->width = read32(file + 28);
    if (header < PSF_HEADER_BYTES || !font_set_glyphs(font, file, bytes, header))
        return false;
    if (font->has_table)
        read_table(font, font->glyphs + font->nglyphs * font->glyph_bytes, file + bytes);
    return true;
}

bool font_open(const void *data, size_t bytes, struct font *out)
{
    memset(out, 0, sizeof *out);
    if (!open_file(out, data, bytes))
        return false;

    unsigned glyph;
    if (font_glyph(out, UTF8_REPLACEMENT, &glyph) || font_glyph(out, '?', &glyph))
        out->fallback = glyph;
    return true;
}

bool font_glyph(const struct font *font, uint32_t code, unsigned *glyph)
{
    *glyph = font->fallback;
    if (!font->has_table) {
        if (code >= font->nglyphs)
            return false;
        *glyph = code;
        return true;
    }
    for (unsigned i = slot_of(code); font->slots[i]; i = (i + 1) & (FONT_SLOTS - 1)) {
        if (font->slots[i] >> SLOT_GLYPH_BITS == code) {
            *glyph = font->slots[i] & (FONT_MAX_GLYPHS - 1);
            return true;
        }
    }
    return false;
}

const uint8_t *font_bits(const struct font *font, unsigned glyph)
{
    if (glyph >= font->nglyphs)
        glyph = font->fallback;
    return font->glyphs + (size_t)glyph * font->glyph_bytes;
}
