/* Owns: the picture of a memory map. Relies on: nothing. Stage: any; the map is only read. */
#include "report/mapview.h"

/* More pieces than this, and the picture would be all seams. */
#define PIECES_MAX MAPVIEW_LABELS

/* Part of the line: regions map[first..last], or the hole in front of the next piece. */
struct piece {
    size_t first, last;
    uint64_t bytes; /* from the start of the first to the end of the last region */
    bool hole;
    bool scaled; /* has RAM: drawn to scale */
    unsigned cells;
};

struct pieces {
    struct piece list[PIECES_MAX];
    unsigned n;
};

static paddr_t region_end(const struct mem_region *region)
{
    return pa_end(region->base, region->bytes);
}

/* Bytes from the start of map[first] to the end of map[last]. */
static uint64_t extent(const struct mem_region *map, size_t first, size_t last)
{
    return pa_diff(map[first].base, region_end(&map[last]));
}

/* The type that most bytes of [from, to) have. */
static uint8_t dominant(const struct mem_region *map, size_t first, size_t last, paddr_t from,
                        paddr_t to)
{
    uint64_t bytes[MAPVIEW_HOLE + 1] = {0};
    uint64_t covered = 0;
    uint8_t best = MAPVIEW_HOLE;

    for (size_t i = first; i <= last; i++) {
        paddr_t a = pa_max(map[i].base, from), b = pa_min(region_end(&map[i]), to);
        if (pa_lt(a, b)) {
            bytes[map[i].type] += pa_diff(a, b);
            covered += pa_diff(a, b);
        }
    }
    bytes[MAPVIEW_HOLE] = pa_diff(from, to) - covered;
    for (uint8_t type = 0; type < MAPVIEW_HOLE; type++)
        if (bytes[type] > bytes[best] || (bytes[type] && bytes[type] == bytes[best]))
            best = type;
    return best;
}

/* Append; false if there are too many. */
static bool piece_add(struct pieces *pieces, struct piece piece)
{
    if (pieces->n == PIECES_MAX)
        return false;
    pieces->list[pieces->n++] = piece;
    return true;
}

/* The last region of the stretch that starts at map[first]: up to a hole of at least that many
 * bytes. What is no RAM is a stretch of its own for each type, unless there is RAM on both sides of
 * it. (The flash of a PC ends where RAM above 4 GiB begins, its framebuffer may begin where low RAM
 * ends.) The very first region goes with what follows: a reserved page 0 is not worth a cell. */
static size_t stretch(const struct mem_region *map, size_t n, uint64_t hole, size_t first,
                      bool *ram)
{
    size_t last = first, last_ram = first;

    *ram = mem_type_is_ram(map[first].type);
    for (; last + 1 < n; last++) {
        const struct mem_region *next = &map[last + 1];
        bool next_ram = mem_type_is_ram(next->type);
        if (pa_diff(region_end(&map[last]), next->base) >= hole)
            break;
        if (!*ram && next->type != map[first].type && !(first == 0 && next_ram))
            break;
        *ram |= next_ram;
        if (next_ram)
            last_ram = last + 1;
    }
    return *ram ? last_ram : last;
}

/* Cut the map into pieces. Neighbours of one type without RAM become one. False: too many. */
static bool cut(const struct mem_region *map, size_t n, uint64_t hole, struct pieces *pieces)
{
    size_t last;

    pieces->n = 0;
    for (size_t first = 0; first < n; first = last + 1) {
        struct piece *previous = pieces->n ? &pieces->list[pieces->n - 1] : NULL;
        bool ram;
        last = stretch(map, n, hole, first, &ram);
        if (previous && !previous->scaled && !ram && map[previous->first].type == map[first].type) {
            previous->last = last;
            continue;
        }
        if (previous && pa_diff(region_end(&map[previous->last]), map[first].base) >= hole &&
            !piece_add(pieces, (struct piece){.hole = true, .cells = 1}))
            return false;
        if (!piece_add(pieces,
                       (struct piece){first, last, extent(map, first, last), false, ram, 1}))
            return false;
    }
    return true;
}

/* Share the line out: one cell for each piece, what remains to the scaled ones by size. Rounding is
 * cumulative, so that the shares add up. */
static void share(struct pieces *pieces, unsigned cells)
{
    uint64_t total = 0, before = 0;
    unsigned spare = cells > pieces->n ? cells - pieces->n : 0;

    for (unsigned i = 0; i < pieces->n; i++)
        total += pieces->list[i].scaled ? pieces->list[i].bytes : 0;
    if (total == 0)
        return;
    /* Below 2^52 bytes and with fewer than 2^8 cells no product reaches 2^64. */
    for (unsigned i = 0; i < pieces->n; i++) {
        struct piece *piece = &pieces->list[i];
        if (!piece->scaled)
            continue;
        piece->cells +=
            (unsigned)((before + piece->bytes) * spare / total - before * spare / total);
        before += piece->bytes;
    }
}

static void draw_piece(const struct mem_region *map, const struct piece *piece, struct mapview *out)
{
    paddr_t base = map[piece->first].base;

    if (piece->hole) {
        out->types[out->ncells++] = MAPVIEW_HOLE;
        return;
    }
    out->labels[out->nlabels++] = (struct mapview_label){out->ncells, base, piece->scaled};
    if (!piece->scaled) {
        out->types[out->ncells++] = (uint8_t)map[piece->first].type;
        return;
    }
    for (unsigned i = 0; i < piece->cells; i++) {
        paddr_t from = pa_add(base, piece->bytes * i / piece->cells);
        paddr_t to = pa_add(base, piece->bytes * (i + 1) / piece->cells);
        out->types[out->ncells++] = dominant(map, piece->first, piece->last, from, to);
    }
}

void mapview_draw(const struct mem_region *map, size_t n, struct mapview *out)
{
    struct pieces pieces;
    uint64_t ram = 0;

    *out = (struct mapview){0};
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        ram += mem_type_is_ram(map[i].type) ? map[i].bytes : 0;
    out->end = region_end(&map[n - 1]);
    if (!cut(map, n, ram / MAPVIEW_CELLS + 1, &pieces)) {
        pieces.n = 1;
        pieces.list[0] = (struct piece){0, n - 1, extent(map, 0, n - 1), false, true, 1};
    }
    share(&pieces, MAPVIEW_CELLS);
    for (unsigned i = 0; i < pieces.n; i++)
        draw_piece(map, &pieces.list[i], out);
}
