/* Size classes, how their slabs are cut, and how an address is told from its neighbours. */
#include "../../mm/heap/slab.h"
#include "test.h"

#include "mm/heap_stats.h"

static void every_size_has_the_smallest_class_that_holds_it(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes <= HEAP_CLASS_BYTES; bytes++) {
        unsigned class = class_of(bytes);
        assert_in_range(class, 0, CLASS_SIZES - 1);
        size_t size = class_size(class);
        assert_true(size >= bytes && size % HEAP_ALIGN == 0);
        assert_true(class == 0 || class_size(class - 1) < bytes);
        assert_true(bytes == 0 || size - bytes < HEAP_ALIGN || (size - bytes) * 8 <= size);
        assert_int_equal(size, heap_classes[class].bytes);
    }
    assert_int_equal(HEAP_CLASS_BYTES, class_size(CLASS_SIZES - 1));
}

static void every_alignment_has_the_smallest_class_that_keeps_it(void **state)
{
    (void)state;
    for (size_t align = 16; align <= 4096; align *= 2)
        for (size_t bytes = 0; bytes <= HEAP_CLASS_BYTES; bytes += bytes < 2048 ? 1 : 13) {
            unsigned class = class_of_aligned(bytes, align);
            assert_in_range(class, 0, CLASS_SIZES - 1);
            assert_true(class_size(class) >= bytes && class_size(class) % align == 0);
            for (unsigned lower = 0; lower < class; lower++)
                if (class_size(lower) >= bytes && class_size(lower) % align == 0)
                    fail_msg("%zu bytes aligned to %zu: class %u, not %u", bytes, align, lower,
                             class);
            /* What kaligned_alloc's short way goes by. */
            size_t rounded = ((bytes == 0 ? 1 : bytes) + align - 1) & ~(align - 1);
            if (rounded <= HEAP_CLASS_BYTES)
                assert_int_equal(class, class_of(rounded));
        }
}

static void slabs_waste_little(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CLASS_SIZES; i++) {
        struct class *c = &heap_classes[i];
        for (unsigned level = 0; level < SHAPE_LEVELS; level++) {
            struct shape s = class_shape(c, level);
            uint64_t bytes = s.pages * FRAME_BYTES, used = (uint64_t)s.objects * c->bytes;
            assert_in_range(s.pages, 1, RUN_PAGES_MAX);
            assert_in_range(s.objects, 1, c->bytes < CLASS_WIDE ? SLAB_OBJECTS : 64);
            assert_true(used <= bytes && (bytes - used) * 8 <= bytes);
            assert_true(level == 0 || s.objects >= class_shape(c, level - 1).objects);
        }
        struct shape full = class_shape(c, SHAPE_LEVELS - 1);
        assert_true((full.pages * FRAME_BYTES - full.objects * c->bytes) * 32 <=
                    full.pages * FRAME_BYTES);
    }
}

static struct slab *wide_descriptor(void)
{
    static union {
        struct slab slab;
        char bytes[2 * SLAB_UNIT_BYTES];
    } descriptor;
    descriptor.slab.wide = true;
    return &descriptor.slab;
}

/* All offsets in the pages of a slab of this shape. */
static void check_offsets(struct slab *slab, unsigned class, struct shape shape, uint32_t step)
{
    uint32_t size = heap_classes[class].bytes;
    slab->base = 0x7f0012345000ull; /* low half and high half both matter to somebody */
    slab_cut(slab, class, shape.objects);
    for (uint32_t offset = 0; offset < shape.pages * FRAME_BYTES; offset++) {
        uint64_t index = UINT64_MAX;
        if (offset % size > 17 && size - offset % size > 17 && offset % step != 0)
            continue;
        bool begins = offset % size == 0 && offset / size < shape.objects;
        if (slab_divide(slab, (const void *)(slab->base + offset), &index) != begins ||
            (begins && index != offset / size))
            fail_msg("size %u, offset %u: index %lu", size, offset, index);
    }
}

static void only_the_starts_of_objects_are_taken_for_them(void **state)
{
    (void)state;
    struct slab *slab = wide_descriptor();
    for (unsigned i = 0; i < CLASS_SIZES; i++)
        for (unsigned level = 0; level < SHAPE_LEVELS; level++)
            check_offsets(slab, i, class_shape(&heap_classes[i], level), 1);
}

/* Object caches have any size that is a multiple of 16. */
static void so_it_is_with_the_sizes_of_caches(void **state)
{
    (void)state;
    struct slab *slab = wide_descriptor();
    for (uint32_t bytes = 16; bytes <= HEAP_CLASS_BYTES; bytes += 16) {
        struct class *c = &heap_classes[CLASS_CACHES];
        class_make(c, bytes);
        for (unsigned level = 0; level < SHAPE_LEVELS; level += SHAPE_LEVELS - 1) {
            assert_true(class_shape(c, level).objects > 0);
            check_offsets(slab, CLASS_CACHES, class_shape(c, level), 61);
        }
    }
}

static void bits_are_counted(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t bits = rng_next(&rng) & rng_next(&rng);
        assert_int_equal(__builtin_popcountll(bits), bits_count(bits));
    }
    assert_int_equal(64, bits_count(~0ull));
    assert_int_equal(0, bits_count(0));
}

static int start(void **state)
{
    (void)state;
    classes_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_has_the_smallest_class_that_holds_it),
        cmocka_unit_test(every_alignment_has_the_smallest_class_that_keeps_it),
        cmocka_unit_test(slabs_waste_little),
        cmocka_unit_test(only_the_starts_of_objects_are_taken_for_them),
        cmocka_unit_test(so_it_is_with_the_sizes_of_caches),
        cmocka_unit_test(bits_are_counted),
    };
    return cmocka_run_group_tests_name("size classes", tests, start, NULL);
}
