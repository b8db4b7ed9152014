/* Owns: nothing. source: Intel SDM Vol. 3A, 4.5 "4-Level Paging and 5-Level Paging",
 * tables 4-14 to 4-20. */
#include "walker.h"

#include "machine.h"
#include "mm/hhdm.h"
#include "test.h"

enum {
    BIT_P = 0,
    BIT_RW = 1,
    BIT_US = 2,
    BIT_PWT = 3,
    BIT_PCD = 4,
    BIT_PS = 7,
    BIT_G = 8,
    BIT_XD = 63
};

static bool bit(uint64_t entry, unsigned n)
{
    return (entry >> n & 1) != 0;
}

/* Bits first to last of an entry, in their place. */
static uint64_t bits(uint64_t entry, unsigned last, unsigned first)
{
    return entry >> first << (63 - last + first) >> (63 - last);
}

static uint64_t read_entry(uint64_t table, unsigned index)
{
    const uint64_t *memory = (const uint64_t *)(hhdm.base.v + table);
    return __atomic_load_n(&memory[index], __ATOMIC_ACQUIRE); /* at once, like a CPU */
}

static void check_reserved(uint64_t entry, unsigned shift, bool page)
{
    if (machine.cpu.phys_bits < 52)
        assert_int_equal(0, bits(entry, 51, machine.cpu.phys_bits));
    if (!machine.cpu.nx)
        assert_false(bit(entry, BIT_XD));
    if (page && shift > 12)
        assert_int_equal(0, bits(entry, shift - 1, 13));
    if (page && shift == 30)
        assert_true(machine.cpu.page_1g);
    if (shift >= 39)
        assert_false(bit(entry, BIT_PS));
}

static void finish(struct walk *w, uint64_t va)
{
    uint64_t offset = va & ((1ull << w->shift) - 1);
    w->present = true;
    w->pa = bits(w->raw, 51, w->shift) + offset;
    w->global = bit(w->raw, BIT_G);
    w->pat =
        bit(w->raw, BIT_PWT) + 2 * bit(w->raw, BIT_PCD) + 4 * bit(w->raw, w->shift == 12 ? 7 : 12);
}

/* Go on at w->table, whose entries cover 1 << w->shift bytes each. */
static struct walk go_on(struct walk w, uint64_t va)
{
    for (;; w.shift -= 9) {
        w.raw = read_entry(w.table, va >> w.shift & 511);
        w.present = false;
        if (!bit(w.raw, BIT_P))
            return w;
        bool page = w.shift == 12 || (w.shift < 39 && bit(w.raw, BIT_PS));
        check_reserved(w.raw, w.shift, page);
        w.write = w.write && bit(w.raw, BIT_RW);
        w.user = w.user && bit(w.raw, BIT_US);
        w.exec = w.exec && !bit(w.raw, BIT_XD);
        if (page) {
            finish(&w, va);
            return w;
        }
        w.table = bits(w.raw, 51, 12);
    }
}

/* What one entry of the root table covers, as a shift. */
static unsigned root_shift(void)
{
    return machine.cpu.levels == 5 ? 48 : 39;
}

struct walk walk(uint64_t root, uint64_t va)
{
    return go_on(
        (struct walk){
            .write = true, .user = true, .exec = true, .shift = root_shift(), .table = root},
        va);
}

/* All that the upper tables say is that everything is allowed, or the test of it would fail. */
struct walk walk_last(const struct walk *upper, uint64_t va)
{
    return go_on(
        (struct walk){
            .write = true, .user = upper->user, .exec = true, .shift = 12, .table = upper->table},
        va);
}

void walk_all(uint64_t root, void (*visit)(uint64_t va, const struct walk *page, void *context),
              void *context)
{
    uint64_t va = 0;
    do {
        struct walk w = walk(root, va);
        if (w.present)
            visit(va, &w, context);
        va += 1ull << w.shift;
        uint64_t half = 1ull << (root_shift() + 8);
        if (va == half)
            va = -half;
    } while (va != 0);
}

static uint64_t hash_table(uint64_t table, unsigned shift, uint64_t *ntables)
{
    uint64_t hash = table;
    ++*ntables;
    for (unsigned i = 0; i < 512; i++) {
        uint64_t entry = read_entry(table, i);
        hash = (hash ^ entry) * 0x100000001b3ull;
        hash ^= hash >> 29;
        bool page = shift == 12 || bit(entry, BIT_PS);
        if (bit(entry, BIT_P) && !page)
            hash += hash_table(bits(entry, 51, 12), shift - 9, ntables);
    }
    return hash;
}

uint64_t walk_hash(uint64_t root, uint64_t *ntables)
{
    *ntables = 0;
    return hash_table(root, root_shift(), ntables);
}
