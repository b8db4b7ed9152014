/* Owns: accesses that only a build with KASAN=1 sees, on request; what tests/bugs/ has not, as it is
 * no use of the heap, or a matter of bytes.
 * Relies on: everything that they go wrong with. Stage: after the take-over. */
#include "check/provoke.h"
#include "console/print.h"
#include "kasan/kasan.h"
#include "mm/heap.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "mm/string.h"
#include "panic/panic.h"

/* The compiler must not know how large what it points to is, nor that it is gone. */
static volatile uint8_t *hide(volatile void *p)
{
    __asm__ volatile("" : "+r"(p)::"memory");
    return p;
}

/* What is to be given back by who survives it. */
static void *object;
static paddr_t frame;

static volatile uint8_t *allocate(size_t bytes)
{
    object = kmalloc(bytes);
    if (!object)
        panic("no memory to go wrong with");
    return hide(object);
}

static void release(volatile uint8_t *p)
{
    kfree((void *)(uintptr_t)hide(p));
    object = NULL;
}

/* --- The heap -------------------------------------------------------------------- */

/* The byte behind the last one, in what is only there because sizes are rounded. */
static void heap_right(void)
{
    allocate(13)[13] = 1;
}

static void heap_run_right(void)
{
    allocate(40001)[40001] = 1;
}

static void heap_use_after_free(void)
{
    volatile uint8_t *p = allocate(64);
    release(p);
    (void)p[8];
}

static void heap_run_after_free(void)
{
    volatile uint8_t *p = allocate(40000);
    release(p);
    p[39999] = 1;
}

static void heap_after_realloc(void)
{
    volatile uint8_t *p = allocate(24);
    object = krealloc((void *)(uintptr_t)p, 20000);
    if (!object)
        panic("no memory to go wrong with");
    hide(p)[0] = 1;
}

static void heap_shrunk(void)
{
    volatile uint8_t *p = allocate(64);
    object = krealloc((void *)(uintptr_t)p, 60);
    hide(object)[60] = 1;
}

static void heap_copy(void)
{
    static const char text[40] = "longer than there is room for it";
    memcpy((void *)(uintptr_t)allocate(39), text, sizeof text);
}

/* --- Frames, variables --------------------------------------------------------------- */

static void get_frames(uint64_t n)
{
    if (pmm_alloc_frames(n, NULL, &frame) != MM_OK)
        panic("no frame to go wrong with");
}

static void frame_after_free(void)
{
    get_frames(1);
    volatile uint8_t *p = hide(phys_to_virt(frame));
    (void)pmm_free_frame(frame);
    frame = PA(0);
    p[100] = 1;
}

static void frame_right(void)
{
    get_frames(2);
    (void)pmm_free_frame(pa_add(frame, FRAME_BYTES));
    (void)hide(phys_to_virt(frame))[FRAME_BYTES];
}

static void stack_right(void)
{
    uint8_t array[13];
    hide(array)[13] = 1;
}

static void stack_left(void)
{
    uint8_t array[16];
    (void)hide(array)[-1];
}

static void stack_after_block(void)
{
    volatile uint8_t *p;
    {
        uint8_t array[16];
        p = hide(array);
        p[0] = 1;
    }
    p[0] = 2;
}

static uint8_t global_array[21];

static void global_right(void)
{
    hide(global_array)[21] = 1;
}

static void global_read(void)
{
    static const uint32_t constants[3] = {1, 2, 3};
    (void)hide((void *)(uintptr_t)constants)[12];
}

static const struct provocation bugs[] = {
    {"heap-right", "write behind a heap object, inside of its size class", heap_right},
    {"heap-run-right", "write behind a large heap object", heap_run_right},
    {"heap-freed", "read from a heap object that was freed", heap_use_after_free},
    {"heap-run-freed", "write to a large one that was freed", heap_run_after_free},
    {"heap-moved", "write to one that krealloc has moved", heap_after_realloc},
    {"heap-shrunk", "write to the end that krealloc has cut off", heap_shrunk},
    {"heap-copy", "copy more than there is room for", heap_copy},
    {"frame-freed", "write to a frame that was freed", frame_after_free},
    {"frame-right", "read behind a frame", frame_right},
    {"stack-right", "write behind an array on the stack", stack_right},
    {"stack-left", "read in front of an array on the stack", stack_left},
    {"stack-ended", "write to a variable whose block has ended", stack_after_block},
    {"global-right", "write behind a static array", global_right},
    {"global-read", "read behind a constant array", global_read},
};

const struct provocation *kasan_provocation(unsigned i)
{
    return i < sizeof bugs / sizeof bugs[0] ? &bugs[i] : NULL;
}

static void go_wrong(void *bug)
{
    ((const struct provocation *)bug)->function();
}

unsigned kasan_try_bugs(unsigned *missed)
{
    const unsigned n = sizeof bugs / sizeof bugs[0];
    *missed = 0;
    for (unsigned i = 0; i < n; i++) {
        bool seen = kasan_try(go_wrong, (void *)(uintptr_t)&bugs[i]) != NULL; /* only read */
        if (!seen)
            kprintf("kasan: %s was not seen\n", bugs[i].name);
        *missed += !seen;
        kfree(object);
        if (!pa_eq(frame, PA(0)))
            (void)pmm_free_frame(frame);
        object = NULL;
        frame = PA(0);
    }
    return n;
}
