/* Owns: the table of live objects. Relies on: the machine; cmocka's assertions. */
#include "heap_model.h"

#include "mm/cpu.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"

static struct object {
    unsigned char *p;
    size_t bytes;  /* asked for */
    size_t usable; /* all of it has the pattern */
    uint64_t tag;
} objects[MODEL_SLOTS];

static struct {
    struct mm_cpu *shares[MODEL_CPUS];
    uint64_t tags, frames;
} model;

/* --- Patterns --------------------------------------------------------------------- */

static uint64_t pattern(uint64_t tag, size_t word)
{
    return (tag + 1) * 0x9e3779b97f4a7c15ull + word * 0xbf58476d1ce4e5b9ull;
}

static void fill_object(struct object *o)
{
    uint64_t *words = (uint64_t *)(void *)o->p, rest = pattern(o->tag, o->usable / 8);
    for (size_t i = 0; i < o->usable / 8; i++)
        words[i] = pattern(o->tag, i);
    memcpy(o->p + o->usable / 8 * 8, &rest, o->usable % 8);
}

/* The first 'bytes' of what the object had. */
static void expect_pattern(const unsigned char *p, size_t bytes, uint64_t tag)
{
    const uint64_t *words = (const uint64_t *)(const void *)p;
    uint64_t rest = pattern(tag, bytes / 8);
    for (size_t i = 0; i < bytes / 8; i++)
        if (words[i] != pattern(tag, i))
            fail_msg("byte %zu of the object at %p has changed", i * 8, (const void *)p);
    if (memcmp(p + bytes / 8 * 8, &rest, bytes % 8) != 0)
        fail_msg("one of the last bytes of %zu at %p has changed", bytes, (const void *)p);
}

static void expect_zeros(const unsigned char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != 0)
            fail_msg("byte %zu of %zu zeroed ones is 0x%x", i, bytes, p[i]);
}

/* --- Objects ------------------------------------------------------------------------ */

static void expect_apart(const struct object *o)
{
    for (unsigned i = 0; i < MODEL_SLOTS; i++)
        if (&objects[i] != o && objects[i].p != NULL && objects[i].p < o->p + o->usable &&
            o->p < objects[i].p + objects[i].usable)
            fail_msg("the objects at %p and %p overlap", (void *)o->p, (void *)objects[i].p);
}

static void expect_aligned(const void *p, size_t bytes, size_t align)
{
    if (bytes >= HEAP_ALIGN && bytes <= FRAME_BYTES && (bytes & (bytes - 1)) == 0 && align < bytes)
        align = bytes;
    if (align < HEAP_ALIGN)
        align = HEAP_ALIGN;
    assert_int_equal(0, (uintptr_t)p % align);
}

/* zero: all that was asked for is 0. */
static bool put_object(struct object *o, unsigned char *p, const struct model_op *op, bool zero)
{
    if (p == NULL)
        return false;
    *o = (struct object){p, op->bytes, kmalloc_size(p), model.tags++};
    assert_true(o->usable >= o->bytes);
    expect_aligned(p, o->bytes, op->align);
    expect_apart(o);
    if (zero)
        expect_zeros(p, o->bytes);
    fill_object(o);
    return true;
}

static void free_object(struct object *o, bool sized)
{
    if (o->p == NULL)
        return;
    expect_pattern(o->p, o->usable, o->tag);
    assert_int_equal(o->usable, kmalloc_size(o->p));
    if (sized)
        kfree_sized(o->p, o->bytes);
    else
        kfree(o->p);
    *o = (struct object){0};
}

static bool resize_object(struct object *o, const struct model_op *op)
{
    size_t count = op->align % 7 + 1, bytes = op->bytes / count;
    bool array = op->call == CALL_REALLOC_ARRAY;
    if (!array)
        bytes = op->bytes, count = 1;
    struct object before = *o;
    unsigned char *p = array ? krealloc_array(o->p, count, bytes) : krealloc(o->p, bytes);
    size_t kept = count * bytes < before.bytes ? count * bytes : before.bytes;
    if (p == NULL) {
        if (before.p != NULL)
            expect_pattern(before.p, before.usable, before.tag);
        return false;
    }
    expect_pattern(p, kept, before.tag);
    *o = (struct object){0};
    const struct model_op as = {.bytes = count * bytes};
    return put_object(o, p, &as, false);
}

/* --- Misuse --------------------------------------------------------------------------- */

/* Nothing may happen, but that it is said. */
static void expect_refused(void *p)
{
    struct heap_totals before, after;
    heap_get_totals(&before);
    kfree(p);
    assert_misuse("heap");
    heap_get_totals(&after);
    assert_int_equal(before.all.live, after.all.live);
}

static void free_inside(struct object *o, size_t offset)
{
    if (o->p == NULL || o->usable < 2)
        return;
    expect_refused(o->p + 1 + offset % (o->usable - 1));
    expect_pattern(o->p, o->usable, o->tag);
}

static void free_twice(struct object *o)
{
    unsigned char *p = o->p;
    if (p == NULL)
        return;
    free_object(o, false);
    expect_refused(p);
}

/* --- Operations -------------------------------------------------------------------------- */

static bool allocate(struct object *o, const struct model_op *op)
{
    const struct heap_want want = {
        .align = op->align,
        .flags = op->flags & (HEAP_ZERO | HEAP_NOWAIT),
        .on_node = (op->flags & 8) != 0,
        .node = op->cpu % (MODEL_NODES + 1),
    };
    struct model_op as = *op;
    if (op->call != CALL_ALIGNED && op->call != CALL_WANT)
        as.align = 0;
    unsigned char *p;
    switch (op->call) {
    case CALL_CALLOC:
        p = kcalloc(1, op->bytes);
        break;
    case CALL_ARRAY:
        p = kmalloc_array(op->bytes, 1);
        break;
    case CALL_ALIGNED:
        as.align = op->align == 0 ? 1 : op->align;
        p = kaligned_alloc(as.align, op->bytes);
        break;
    case CALL_WANT:
        p = kmalloc_want(op->bytes, &want);
        break;
    case CALL_NODE:
        p = kmalloc_node(op->bytes, op->cpu % MODEL_NODES);
        break;
    default:
        p = kmalloc(op->bytes);
    }
    bool zero = op->call == CALL_CALLOC || (op->call == CALL_WANT && (want.flags & HEAP_ZERO) != 0);
    return put_object(o, p, &as, zero);
}

bool objects_do(const struct model_op *op)
{
    struct object *o = &objects[op->slot % MODEL_SLOTS];
    switch (op->call) {
    case CALL_REALLOC:
    case CALL_REALLOC_ARRAY:
        return resize_object(o, op);
    case CALL_FREE:
    case CALL_FREE_SIZED:
        free_object(o, op->call == CALL_FREE_SIZED);
        return true;
    case CALL_FREE_TWICE:
        free_twice(o);
        return true;
    case CALL_FREE_INSIDE:
        free_inside(o, op->bytes);
        return true;
    case CALL_SHRINK:
        heap_shrink();
        return true;
    case CALL_LEAVE:
        heap_leave_cpu();
        return true;
    case CALL_CPU:
        port_set_mm_cpu(model.shares[op->cpu % MODEL_CPUS]);
        return true;
    default:
        free_object(o, false);
        return allocate(o, op);
    }
}

uint64_t objects_live(void)
{
    uint64_t live = 0;
    for (unsigned i = 0; i < MODEL_SLOTS; i++)
        live += objects[i].p != NULL;
    return live;
}

void objects_check(void)
{
    struct heap_totals totals;
    uint64_t usable = 0;
    for (unsigned i = 0; i < MODEL_SLOTS; i++) {
        struct object *o = &objects[i];
        if (o->p == NULL)
            continue;
        expect_pattern(o->p, o->usable, o->tag);
        usable += o->usable;
    }
    heap_get_totals(&totals);
    assert_int_equal(objects_live(), totals.all.live);
    assert_int_equal(usable, totals.all.live_bytes);
    assert_int_equal(totals.all.live, totals.all.allocations - totals.all.frees);
    assert_true(heap_validate());
}

uint64_t objects_metadata_frames(void)
{
    struct heap_totals totals;
    heap_get_totals(&totals);
    return totals.descriptor_bytes / FRAME_BYTES;
}

void objects_start(void)
{
    memset(objects, 0, sizeof objects);
    model.tags = 0;
    for (unsigned i = 0; i < MODEL_CPUS; i++)
        assert_int_equal(MM_OK, mm_cpu_create(i, &model.shares[i]));
    heap_shrink();
    model.frames = machine_free_frames() + objects_metadata_frames();
}

void objects_stop(void)
{
    objects_check();
    for (unsigned i = 0; i < MODEL_SLOTS; i++)
        free_object(&objects[i], false);
    for (unsigned i = 0; i < MODEL_CPUS; i++) {
        port_set_mm_cpu(model.shares[i]);
        heap_shrink();
    }
    port_set_mm_cpu(model.shares[0]);
    objects_check();
    assert_int_equal(model.frames, machine_free_frames() + objects_metadata_frames());
}
