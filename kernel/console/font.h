/* Console fonts in the newer format of the Linux console (PSF2), read where they lie; font.py makes them
 * of either. Pure; no stage. */
#ifndef QL_KERNEL_FONT_H
#define QL_KERNEL_FONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FONT_MAX_WIDTH  32
#define FONT_MAX_HEIGHT 64
#define FONT_MAX_GLYPHS 1024

/* Slots of the hashed Unicode table: a power of two. A font may fill three quarters of them. */
#define FONT_SLOTS 2048

struct font {
    unsigned width, height; /* pixels */
    unsigned
        row_bytes; /* of one row of a glyph; the leftmost pixel is the top bit of its first byte */
    unsigned glyph_bytes;
    unsigned nglyphs;
    unsigned fallback; /* the glyph for what the font cannot show */
    const uint8_t *glyphs;
    bool has_table;
    unsigned nslots;            /* in use */
    uint32_t slots[FONT_SLOTS]; /* code point << 10 | glyph; 0: empty */
};

/* Read a font; the data stays where it is and must stay there. False, and out unusable, if it is
 * not a font, is larger than the limits above, or is cut short. Damage in the Unicode table costs
 * only the characters behind it. */
bool font_open(const void *data, size_t bytes, struct font *out);

/* The glyph that shows a code point; false if there is none (glyph is then font->fallback). */
bool font_glyph(const struct font *font, uint32_t code, unsigned *glyph);

/* The bits of a glyph, row_bytes for each row. glyph < nglyphs, else those of the fallback. */
const uint8_t *font_bits(const struct font *font, unsigned glyph);

/* The embedded fonts. */
struct font_file {
    const uint8_t *data, *end;
};
enum {
    FONT_SMALL,  /* 8x16 */
    FONT_MEDIUM, /* 12x24, bold */
    FONT_FILES,
};
extern const struct font_file font_files[FONT_FILES];

#endif
