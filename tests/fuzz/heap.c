/* Fuzz: sequences of calls of the heap, against the table of objects that the random tests use, too.
 * Eight bytes are a call; the first two of an input say how much RAM there is and how many CPUs know
 * the heap. Whatever comes, every object keeps its bytes, misuse is said, and nothing is lost. */
#include "heap_model.h"

#include "mm/pmm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A size in 16 bits: an exponent up to 4 MiB, and the bits behind the first one. Large ones take their
 * time, so few codes stand for them. */
static size_t size_from(unsigned code)
{
    unsigned exponent = code >> 8 & 31;
    if (exponent > 22 || (exponent > 16 && code % 8 != 0))
        exponent %= 16;
    size_t low = exponent == 0 ? 0 : 1ull << exponent;
    return low + ((low * (code & 0xff)) >> 8);
}

static struct model_op op_from(const uint8_t *d)
{
    return (struct model_op){
        .call = (enum model_call)(d[0] % CALLS),
        .slot = d[1],
        .bytes = size_from((unsigned)d[2] << 8 | d[3]) + (d[4] & 3) - (d[2] != 0),
        .align = (d[4] >> 2 & 31) < 8 ? 0 : 1ull << ((d[4] >> 2 & 31) - 8),
        .flags = d[5],
        .cpu = d[6],
    };
}

static void start(const uint8_t *d)
{
    uint64_t ram = (4 + d[0] % 60) * MIB;
    const struct mem_node nodes[] = {{PA(RAM_BASE), ram / 2, 0},
                                     {PA(RAM_BASE + ram / 2), ram - ram / 2, 1}};
    machine_start_simple(ram);
    if (d[1] & 1)
        assert_int_equal(MM_OK, pmm_set_nodes(nodes, COUNT(nodes)));
    assert_int_equal(MM_OK, heap_init());
    objects_start();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2)
        return 0;
    start(data);
    for (size_t at = 2; at + 8 <= bytes; at += 8) {
        struct model_op op = op_from(data + at);
        unsigned k = data[at + 7];
        if (k >= 0xf0) /* memory ends after so many allocations, for this call */
            machine_fail_allocations_from(k - 0xef);
        else if (k >= 0xe0)
            machine_fail_allocation(k - 0xdf);
        (void)objects_do(&op);
        (void)machine_failed();
    }
    assert_true(heap_validate());
    objects_stop();
    assert_true(pmm_validate());
    machine_stop();
    return 0;
}
