/* Owns: the words for an access that must not be.
 * Relies on: the shadow, panic. Is not checked itself. Stage: from kasan_start on. */
#include "shadow.h"

#include "console/print.h"
#include "mm/heap_debug.h"
#include "panic/panic.h"
#include "panic/symbols.h"

#define LOOK_BYTES     4096 /* how far from the access the object is looked for */
#define FRAME_ALIGN    32   /* of a frame with zones */
#define DISTANCE_WORDS 48

static const char *words_for(uint8_t why)
{
    switch (why) {
    case KASAN_STACK_LEFT:
    case KASAN_STACK_MIDDLE:
    case KASAN_STACK_RIGHT:
        return "out of bounds of a variable on the stack";
    case KASAN_SCOPE:
        return "use of a variable whose block has ended";
    case KASAN_GLOBAL:
        return "out of bounds of a global variable";
    case KASAN_HEAP_ZONE:
        return "out of bounds of an object of the heap";
    case KASAN_HEAP_FREE:
        return "use after free";
    case KASAN_HEAP_UNUSED:
        return "use of memory of the heap that nobody has allocated";
    case KASAN_FRAME_FREE:
        return "use of a free frame";
    default:
        return "use of memory that is not valid";
    }
}

/* Why the byte must not be touched: of one behind the end in its grain, the next grain knows. */
static uint8_t why_not(uint64_t address)
{
    const int8_t *s = shadow_of(address);
    if (s && *s > 0)
        s = shadow_of(address + GRAIN_BYTES);
    return s ? (uint8_t)*s : 0;
}

/* "3 bytes behind", "right in front of". */
static const char *distance(uint64_t n, bool behind, char out[DISTANCE_WORDS])
{
    const char *side = behind ? "behind" : "in front of";
    if (n == 0)
        ksnprintf(out, DISTANCE_WORDS, "right %s", side);
    else
        ksnprintf(out, DISTANCE_WORDS, "%lu byte%s %s", n, n == 1 ? "" : "s", side);
    return out;
}

static void describe_global(uint64_t address, char *out, size_t bytes)
{
    char words[DISTANCE_WORDS];
    const struct global *g = kasan_global(address);
    if (g)
        ksnprintf(out, bytes, ", %s %s (%lu bytes, %s)",
                  distance(address - g->address - g->bytes, true, words), g->name, g->bytes,
                  g->file);
}

/* --- Variables of a function --------------------------------------------------------------
 * The compiler leaves three words at the start of a frame with zones: a number that marks it, where
 * its description is, which function it is. The description: how many variables there are, and of
 * each where it begins, its size, the length of its name, its name. source: as in check.c */

#define FRAME_MARK 0x41b58ab3u

struct frame {
    uint64_t mark;
    const char *description;
    uint64_t function;
};

/* The frame that an address is in; NULL if none is found. */
static const struct frame *frame_of(uint64_t address)
{
    uint64_t at = address & -(uint64_t)FRAME_ALIGN;
    for (unsigned i = 0; i < LOOK_BYTES / FRAME_ALIGN; i++, at -= FRAME_ALIGN) {
        const int8_t *s = shadow_of(at);
        const struct frame *f = (const void *)(uintptr_t)at; /* its shadow says that it is there */
        if (!s)
            break;
        if ((uint8_t)*s == KASAN_STACK_LEFT && f->mark == FRAME_MARK)
            return f;
    }
    return NULL;
}

/* The next number of a description; moves behind it and the blank there. */
static uint64_t next_number(const char **text)
{
    uint64_t n = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++)
        n = n * 10 + (uint64_t)(**text - '0');
    *text += **text == ' ';
    return n;
}

struct variable {
    uint64_t at, bytes; /* at: from the frame's start on */
    const char *name;
    int length;
};

/* The last variable that begins at or in front of an offset; the first one, if none does. */
static struct variable variable_at(const char *text, uint64_t offset)
{
    struct variable best = {0};
    for (uint64_t n = next_number(&text); n > 0; n--) {
        struct variable v;
        v.at = next_number(&text);
        v.bytes = next_number(&text);
        v.length = (int)next_number(&text);
        v.name = text;
        text += v.length;
        text += *text == ' ';
        if (!best.name || v.at <= offset)
            best = v;
    }
    return best;
}

static void describe_variable(uint64_t address, char *out, size_t bytes)
{
    const struct frame *f = frame_of(address);
    if (!f)
        return;
    uint64_t offset = address - va_number(va_of(f)), ignored;
    struct variable v = variable_at(f->description, offset);
    const char *function = symbols_find(f->function, &ignored);
    bool behind = offset >= v.at + v.bytes, inside = !behind && offset >= v.at;
    uint64_t n = behind ? offset - v.at - v.bytes : v.at - offset - 1;
    char words[DISTANCE_WORDS];
    ksnprintf(out, bytes, ", %s %.*s (%lu bytes) of %s", inside ? "in" : distance(n, behind, words),
              v.length, v.name, v.bytes, function ? function : "?");
}

/* --- The words ------------------------------------------------------------------------- */

static struct {
    bool active;
    const char *seen;
} trial;

/* An exception ends it where the access would have been, which then does not happen. */
static void abandon(void)
{
    trial.seen = "access";
    __asm__ volatile("ud2");
    __builtin_unreachable();
}

const char *kasan_try(void (*function)(void *), void *argument)
{
    trial.seen = NULL;
    trial.active = true;
    bool returned = traps_try(function, argument, NULL);
    trial.active = false;
    return returned || trial.seen ? trial.seen : "fault";
}

bool kasan_survive_misuse(void)
{
    if (trial.active)
        trial.seen = "misuse";
    return trial.active;
}

_Noreturn void kasan_report(uint64_t address, uint64_t bytes, bool write)
{
    char what[256];
    if (trial.active)
        abandon();
    uint8_t why = why_not(address);
    kasan_stop();
    if (!heap_explain((const void *)(uintptr_t)address, what, sizeof what)) { /* only looked up */
        char where[160] = "";
        if (why == KASAN_GLOBAL)
            describe_global(address, where, sizeof where);
        else if (why >= KASAN_STACK_LEFT && why <= KASAN_SCOPE)
            describe_variable(address, where, sizeof where);
        ksnprintf(what, sizeof what, "%s%s", words_for(why), where);
    }
    panic("kasan: %s of %lu byte%s at 0x%016lx: %s", write ? "write" : "read", bytes,
          bytes == 1 ? "" : "s", address, what);
}
