/* Owns: nothing; the making of a table of nodes, which the pmm keeps.
 * Relies on: nothing. Stage: from "frames" on. */
#include "mm/numa.h"

#include "mm/string.h"

#define UNCLAIMED UINT32_MAX

size_t numa_find(const struct node_piece *pieces, size_t npieces, paddr_t pa)
{
    size_t low = 0, high = npieces; /* the answer is in [low, high): the first starts at 0 */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (pa_le(pieces[middle].base, pa))
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Make pa the border of two pieces. Returns the upper one. */
static size_t cut_at(struct node_piece *pieces, size_t *n, paddr_t pa)
{
    if (pa_eq(pa, PA(PADDR_LIMIT)))
        return *n;
    size_t at = numa_find(pieces, *n, pa);
    if (pa_eq(pieces[at].base, pa))
        return at;
    memmove(&pieces[at + 1], &pieces[at], (*n - at) * sizeof *pieces);
    pieces[at + 1].base = pa;
    ++*n;
    return at + 1;
}

static mm_status_t claim(struct node_piece *pieces, size_t *n, const struct mem_node *range)
{
    if (range->node >= NUMA_NODES_MAX || pa_lt(PA(PADDR_LIMIT), range->base) ||
        pa_diff(range->base, pa_end(range->base, range->bytes)) != range->bytes)
        return MM_RANGE;
    paddr_t base = pa_align_up(range->base, FRAME_BYTES);
    paddr_t end = pa_align_up(pa_add(range->base, range->bytes), FRAME_BYTES);
    if (!pa_lt(base, end))
        return MM_OK;
    size_t first = cut_at(pieces, n, base);
    size_t last = cut_at(pieces, n, end);
    for (size_t i = first; i < last; i++) {
        if (pieces[i].node != UNCLAIMED && pieces[i].node != range->node)
            return MM_INVAL;
        pieces[i].node = range->node;
    }
    return MM_OK;
}

mm_status_t numa_divide(const struct mem_node *nodes, size_t n, struct node_piece *pieces,
                        size_t *npieces)
{
    size_t count = 1;
    pieces[0] = (struct node_piece){PA(0), UNCLAIMED};
    for (size_t i = 0; i < n; i++) {
        mm_status_t status = claim(pieces, &count, &nodes[i]);
        if (status != MM_OK)
            return status;
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t node = pieces[i].node == UNCLAIMED ? 0 : pieces[i].node;
        if (kept == 0 || pieces[kept - 1].node != node)
            pieces[kept++] = (struct node_piece){pieces[i].base, node};
    }
    *npieces = kept;
    return MM_OK;
}
