/* Owns: the normalisation of a memory map that somebody else wrote.
 * Relies on: nothing; works inside the caller's array.
 * Stage: before frames exist. */
#include "mm/region.h"

#include "mm/string.h"

/* Who wins a byte that two regions claim: the higher rank, which is the less free type. No two
 * types share a rank, so who wins does not depend on who came first. */
static const unsigned char rank[MEM_TYPES] = {
    [MEM_USABLE] = 0,
    [MEM_BOOTLOADER_RECLAIMABLE] = 1,
    [MEM_EXECUTABLE_AND_MODULES] = 2,
    [MEM_ACPI_RECLAIMABLE] = 3,
    [MEM_ACPI_NVS] = 4,
    [MEM_RESERVED_MAPPED] = 5,
    [MEM_RESERVED] = 6,
    [MEM_FRAMEBUFFER] = 7,
    [MEM_BAD] = 8,
};

const char *mem_type_name(enum mem_type type)
{
    static const char *const names[MEM_TYPES] = {
        [MEM_USABLE] = "usable",
        [MEM_RESERVED] = "reserved",
        [MEM_ACPI_RECLAIMABLE] = "ACPI reclaimable",
        [MEM_ACPI_NVS] = "ACPI NVS",
        [MEM_BAD] = "bad",
        [MEM_BOOTLOADER_RECLAIMABLE] = "bootloader reclaimable",
        [MEM_EXECUTABLE_AND_MODULES] = "executable and modules",
        [MEM_FRAMEBUFFER] = "framebuffer",
        [MEM_RESERVED_MAPPED] = "reserved, mapped",
    };
    return (unsigned)type < MEM_TYPES ? names[type] : "unknown";
}

static paddr_t region_end(const struct mem_region *r)
{
    return pa_add(r->base, r->bytes);
}

/* Frames are handed out whole, so only these types must consist of whole frames. */
static bool is_ram(enum mem_type type)
{
    return type == MEM_USABLE || type == MEM_BOOTLOADER_RECLAIMABLE;
}

/* Make every region well-formed by itself: not empty, below the limit, of a known type. */
static size_t sanitise(struct mem_region *map, size_t n, size_t *fixed)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        struct mem_region r = map[i];
        paddr_t end = pa_end(r.base, r.bytes);
        bool known = (unsigned)r.type < MEM_TYPES;
        bool empty = !pa_lt(r.base, end);
        if (empty || !known || pa_diff(r.base, end) != r.bytes)
            ++*fixed;
        if (empty)
            continue;
        map[kept++] = (struct mem_region){
            .base = r.base,
            .bytes = pa_diff(r.base, end),
            .type = known ? r.type : MEM_RESERVED,
        };
    }
    return kept;
}

/* Ascending by base. By insertion: firmware's maps are nearly sorted, and nothing is allocated. */
static void sort(struct mem_region *map, size_t n, size_t *fixed)
{
    for (size_t i = 1; i < n; i++) {
        struct mem_region r = map[i];
        size_t at = i;
        for (; at > 0 && pa_lt(r.base, map[at - 1].base); at--)
            map[at] = map[at - 1];
        map[at] = r;
        if (at != i)
            ++*fixed;
    }
}

static void count_overlaps(const struct mem_region *map, size_t n, size_t *fixed)
{
    paddr_t end = PA(0);
    for (size_t i = 0; i < n; i++) {
        if (pa_lt(map[i].base, end))
            ++*fixed;
        end = pa_max(end, region_end(&map[i]));
    }
}

/* The sweep over the address space. The sorted input waits at the back of the array, the output
 * grows at its front. Of n regions no more than 2 n - 1 pieces come out, and input that the sweep
 * has passed is dropped before a piece is written: in an array of 2
 * n entries the two never meet. */
struct sweep {
    struct mem_region *out; /* the pieces so far: [out, out + nout) */
    size_t nout;
    struct mem_region *live; /* input that ends behind the sweep: [live, stop), ascending by base */
    struct mem_region *stop;
};

/* The next piece: from `at`, or from where the next region begins, as long as one region wins. */
static struct mem_region next_piece(const struct sweep *s, paddr_t at)
{
    at = pa_max(at, s->live->base);
    const struct mem_region *winner = s->live;
    const struct mem_region *r = s->live;
    for (; r < s->stop && pa_le(r->base, at); r++)
        if (rank[r->type] > rank[winner->type])
            winner = r;

    paddr_t end = region_end(winner);
    for (; r < s->stop && pa_lt(r->base, end); r++)
        if (rank[r->type] > rank[winner->type])
            end = r->base;
    return (struct mem_region){at, pa_diff(at, end), winner->type};
}

/* Forget the input that ends at or before `at`; what is still live moves up against the rest. */
static void drop_passed(struct sweep *s, paddr_t at)
{
    struct mem_region *begun = s->live;
    while (begun < s->stop && pa_lt(begun->base, at))
        begun++;
    struct mem_region *keep = begun;
    for (struct mem_region *r = begun; r > s->live; r--)
        if (pa_lt(at, region_end(r - 1)))
            *--keep = r[-1];
    s->live = keep;
}

/* Append a piece, or lengthen the last one that it continues. False if the array is full. */
static bool emit(struct sweep *s, struct mem_region piece)
{
    struct mem_region *last = s->nout > 0 ? &s->out[s->nout - 1] : NULL;
    if (last != NULL && last->type == piece.type && pa_eq(region_end(last), piece.base)) {
        last->bytes += piece.bytes;
        return true;
    }
    if (&s->out[s->nout] == s->live)
        return false;
    s->out[s->nout++] = piece;
    return true;
}

/* Shrink RAM inwards to whole frames; a region of which none is left goes. */
static size_t trim_to_frames(struct mem_region *map, size_t n, size_t *fixed)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        struct mem_region r = map[i];
        if (is_ram(r.type)) {
            paddr_t base = pa_align_up(r.base, FRAME_BYTES);
            paddr_t end = pa_align_down(region_end(&r), FRAME_BYTES);
            if (!pa_eq(base, r.base) || !pa_eq(end, region_end(&r)))
                ++*fixed;
            if (!pa_lt(base, end))
                continue;
            r.base = base;
            r.bytes = pa_diff(base, end);
        }
        map[kept++] = r;
    }
    return kept;
}

mm_status_t region_normalise(struct mem_region *map, size_t n, size_t capacity, size_t *n_out,
                             size_t *fixed_out)
{
    if (n > capacity)
        return MM_NOMEM;
    size_t fixed = 0;
    n = sanitise(map, n, &fixed);
    sort(map, n, &fixed);
    count_overlaps(map, n, &fixed);

    struct sweep s = {.out = map, .live = map + capacity - n, .stop = map + capacity};
    memmove(s.live, map, n * sizeof *map);
    paddr_t at = PA(0);
    while (s.live < s.stop) {
        struct mem_region piece = next_piece(&s, at);
        at = region_end(&piece);
        drop_passed(&s, at);
        if (!emit(&s, piece))
            return MM_NOMEM;
    }
    *n_out = trim_to_frames(map, s.nout, &fixed);
    *fixed_out = fixed;
    return MM_OK;
}

bool region_validate(const struct mem_region *map, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct mem_region *r = &map[i];
        paddr_t end = pa_end(r->base, r->bytes);
        if ((unsigned)r->type >= MEM_TYPES)
            return false;
        if (!pa_lt(r->base, end) || pa_diff(r->base, end) != r->bytes)
            return false;
        if (is_ram(r->type) && !(pa_aligned(r->base, FRAME_BYTES) && r->bytes % FRAME_BYTES == 0))
            return false;
        if (i == 0)
            continue;
        paddr_t before = region_end(r - 1);
        if (pa_lt(r->base, before) || (pa_eq(r->base, before) && r->type == r[-1].type))
            return false;
    }
    return true;
}
