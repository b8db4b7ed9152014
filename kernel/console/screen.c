/* Owns: the framebuffer's pixels.
 * Relies on: font.c, the loader's or our mapping of the framebuffer. Stage: as soon as one is
 * known. */
#include "console/screen.h"

#include "config.h"
#include "console/font.h"

#define MIN_COLUMNS  20 /* below this a line of text makes no sense */
#define MIN_ROWS     4
#define TEXT_COLUMNS 80 /* what our own output is made for: margins give way to it */
#define TEXT_ROWS    25 /* a wide but low screen gets smaller characters, for at least so many */

/* Stores to write-combining memory: 64 bits at a time, ascending, in the order and width written
 * here. Nothing promises that a pixel row is 8-byte aligned. */
typedef uint64_t __attribute__((aligned(1), may_alias)) pixel_pair_t;
typedef uint32_t __attribute__((aligned(1), may_alias)) pixel_t;

static struct {
    uint8_t *pixels;
    uint64_t pitch;
    unsigned left, top;               /* pixels of margin */
    uint32_t colours[SCREEN_COLOURS]; /* as the framebuffer wants them */
    unsigned scale;                   /* screen pixels across and down for one of the font */
    uint32_t spread[16];              /* a nibble with each bit repeated scale times */
    unsigned cell_width, cell_height; /* screen pixels */
    struct font font;
} screen;

/* 0xRRGGBB, restful on a dark ground; each colour keeps its ANSI role. */
static const uint32_t palette[SCREEN_COLOURS] = {
    0x14161b, 0xd9666c, 0x8fc06e, 0xdcb65f, 0x6c9fe0, 0xbc8cd6, 0x63bab6, 0xc6cad0,
    0x7f8794, 0xf2878c, 0xaadb8a, 0xf3d083, 0x8fbcf5, 0xd5abec, 0x86d8d4, 0xf5f7f9,
};

/* From which screen width on, in pixels, characters are how large: 80 to 240 of them fit in a row.
 * Two fonts serve all screens, drawn with larger pixels where those of the screen are small. */
static const struct {
    unsigned from_width;
    unsigned font; /* of font_files */
    unsigned scale;
} sizes[] = {
    {0, FONT_SMALL, 1},     /* 8x16 */
    {1600, FONT_MEDIUM, 1}, /* 12x24 */
    {2560, FONT_SMALL, 2},  /* 16x32 */
    {3840, FONT_MEDIUM, 2}, /* 24x48 */
    {5120, FONT_MEDIUM, 3}, /* 36x72 */
    {7680, FONT_MEDIUM, 4}, /* 48x96 */
};

/* An 8-bit component in a field of the framebuffer, rounded. */
static uint32_t component(uint32_t value, unsigned size, unsigned shift)
{
    uint64_t max = (1ull << size) - 1;
    return (uint32_t)((value * max + 127) / 255 << shift);
}

static bool field_fits(unsigned size, unsigned shift)
{
    return size <= 32 && shift <= 32 - size;
}

static bool framebuffer_usable(const struct boot_framebuffer *fb)
{
    return fb->pixels && fb->width <= UINT32_MAX / 4 && fb->height <= UINT32_MAX &&
           fb->pitch >= fb->width * 4 && fb->pitch <= UINT32_MAX &&
           field_fits(fb->red_size, fb->red_shift) && field_fits(fb->green_size, fb->green_shift) &&
           field_fits(fb->blue_size, fb->blue_shift);
}

/* Open a font, to be drawn at this scale. */
static bool set_size(const struct font_file *file, unsigned scale)
{
    if (!font_open(file->data, (size_t)(file->end - file->data), &screen.font) ||
        screen.font.row_bytes * 8 * scale > 64) /* row_bits has no more */
        return false;
    screen.scale = scale;
    screen.cell_width = screen.font.width * scale;
    screen.cell_height = screen.font.height * scale;
    for (unsigned nibble = 0; nibble < 16; nibble++) {
        screen.spread[nibble] = 0;
        for (unsigned bit = 0; bit < 4 * scale; bit++)
            screen.spread[nibble] |= (uint32_t)((nibble >> bit / scale & 1) << bit);
    }
    return true;
}

/* The largest size that the width asks for and the height has room for, else the smallest. */
static bool choose_size(const struct boot_framebuffer *fb)
{
    for (unsigned i = sizeof sizes / sizeof sizes[0]; i-- > 0;)
        if (fb->width >= sizes[i].from_width &&
            set_size(&font_files[sizes[i].font], sizes[i].scale) &&
            (i == 0 || fb->height / screen.cell_height >= TEXT_ROWS))
            return true;
    return false;
}

/* As many cells as fit, with a margin of a character at each side where there is room to spare; the
 * rest is shared between the two sides. */
static unsigned fit(unsigned pixels, unsigned cell, unsigned needed, unsigned limit,
                    unsigned *margin)
{
    unsigned n = pixels / cell;

    if (n >= needed + 2)
        n = (pixels - cell) / cell;
    if (n > limit)
        n = limit;
    *margin = (pixels - n * cell) / 2;
    return n;
}

/* One row of pixels in one colour. A string store: the whole screen is cleared on the way of the
 * boot, and a loop has six times the instructions. */
static void fill_row(uint8_t *row, uint64_t width, uint32_t colour)
{
    uint64_t pairs = width / 2;

    __asm__ volatile("rep stosq"
                     : "+D"(row), "+c"(pairs)
                     : "a"(colour * 0x100000001ull)
                     : "memory");
    if (width % 2 != 0)
        *(volatile pixel_t *)row = colour; /* where the string store ended */
}

bool screen_init(const struct boot_framebuffer *fb, struct screen_size *out)
{
    struct screen_size size;

    if (!framebuffer_usable(fb) || !choose_size(fb))
        return false;
    size.columns = fit((unsigned)fb->width, screen.cell_width, TEXT_COLUMNS, CONFIG_CONSOLE_COLUMNS,
                       &screen.left);
    size.rows =
        fit((unsigned)fb->height, screen.cell_height, MIN_ROWS, CONFIG_CONSOLE_ROWS, &screen.top);
    if (size.columns < MIN_COLUMNS || size.rows < MIN_ROWS)
        return false;

    screen.pixels = fb->pixels;
    screen.pitch = fb->pitch;
    for (unsigned i = 0; i < SCREEN_COLOURS; i++)
        screen.colours[i] = component(palette[i] >> 16, fb->red_size, fb->red_shift) |
                            component(palette[i] >> 8 & 0xff, fb->green_size, fb->green_shift) |
                            component(palette[i] & 0xff, fb->blue_size, fb->blue_shift);
    for (uint64_t y = 0; y < fb->height; y++)
        fill_row(screen.pixels + y * screen.pitch, fb->width, screen.colours[0]);
    *out = size;
    return true;
}

void screen_move(void *pixels)
{
    screen.pixels = pixels;
}

uint16_t screen_glyph(uint32_t code)
{
    unsigned glyph;
    font_glyph(&screen.font, code, &glyph);
    return (uint16_t)glyph;
}

/* A row of a glyph with each bit repeated for each pixel on the screen, from the top bit down. */
static uint64_t row_bits(const uint8_t *row)
{
    unsigned step = 4 * screen.scale, at = 64;
    uint64_t bits = 0;

    for (unsigned i = 0; i < screen.font.row_bytes; i++) {
        bits |= (uint64_t)screen.spread[row[i] >> 4] << (at -= step);
        bits |= (uint64_t)screen.spread[row[i] & 15] << (at -= step);
    }
    return bits;
}

/* What two bits of a glyph become: two pixels, of which the left one, the higher bit, is the lower
 * half. */
static void set_pairs(const struct cell *cell, uint64_t pairs[static 4])
{
    uint64_t bg = screen.colours[cell->bg], fg = screen.colours[cell->fg];

    pairs[0] = bg << 32 | bg;
    pairs[1] = fg << 32 | bg;
    pairs[2] = bg << 32 | fg;
    pairs[3] = fg << 32 | fg;
}

/* One row of pixels of one cell. */
static uint8_t *draw_slice(uint8_t *to, uint64_t bits, const uint64_t pairs[static 4])
{
    uint8_t *end = to + screen.cell_width / 2 * 8;

    for (; to < end; to += 8, bits <<= 2)
        *(volatile pixel_pair_t *)to = pairs[bits >> 62];
    if (screen.cell_width % 2) {
        *(volatile pixel_t *)to = (uint32_t)pairs[bits >> 62];
        to += 4;
    }
    return to;
}

static bool same_colours(const struct cell *a, const struct cell *b)
{
    return a->fg == b->fg && a->bg == b->bg;
}

/* One row of pixels of a row of cells, which show this row of their glyphs. */
static void draw_line(uint8_t *to, const struct cell *cells, unsigned n, unsigned glyph_row)
{
    const struct font *font = &screen.font;
    uint64_t pairs[4];

    for (unsigned i = 0; i < n; i++) {
        const uint8_t *glyph = font_bits(font, cells[i].glyph);
        if (i == 0 || !same_colours(&cells[i], &cells[i - 1]))
            set_pairs(&cells[i], pairs);
        to = draw_slice(to, row_bits(glyph + glyph_row * font->row_bytes), pairs);
    }
}

/* Pixel row by pixel row through all the cells, not cell by cell: the processor's write-combining
 * buffers then fill from one end to the other and leave as whole lines. */
void screen_draw(unsigned row, unsigned column, const struct cell *cells, unsigned n)
{
    uint8_t *line = screen.pixels +
                    (screen.top + (uint64_t)row * screen.cell_height) * screen.pitch +
                    (screen.left + (uint64_t)column * screen.cell_width) * 4;

    for (unsigned y = 0; y < screen.cell_height; y++, line += screen.pitch)
        draw_line(line, cells, n, y / screen.scale);
}
