/* What the files of the debug build share: allocating with zones and records, freeing with a delay.
 * Internal to mm/heap/. */
#ifndef QL_HEAP_DEBUG_DEBUG_H
#define QL_HEAP_DEBUG_DEBUG_H

#include "mm/heap_stats.h"
#include "records.h"

/* What is done at the present level (CONFIG_HEAP_DEBUG_LEVEL says what they are). */
#define DEBUG_NOTHING 0u
#define DEBUG_ZONES   1u
#define DEBUG_STACKS  2u /* and delays */
#define DEBUG_ALL     3u

/* --- delay.c ----------------------------------------------------------------------------- */

/* A record that the caller has for itself (RECORD_FREEING), zones looked at: give its object back to
 * the core, now or later. */
void delay_free(struct record *r, bool later);

/* Give all back. Returns how many. */
uint64_t delay_drain(void);

void delay_init(void);

/* --- objects.c --------------------------------------------------------------------------- */

unsigned debug_level(void);

/* In heap_init, before the core. */
void debug_init(void);

/* As kmalloc_want, whatever the level but 0; frame: of the function that the caller has called. */
void *debug_alloc(size_t bytes, const struct heap_want *want, const void *frame);

/* The same in two steps, for who gets the memory elsewhere: a record with the stack; then what it is for. NULL:
 * out of memory, and nothing is delayed or kept that could be given up; wait: by other CPUs, too. */
struct record *debug_begin(const void *frame, bool wait);
void debug_give_up(struct record *r);
void *debug_publish(struct record *r, bool poison);

/* What p is: a live object, with its record; or none, which is then said (misuse); or nothing that a
 * record is there for: the core knows. */
enum debug_answer { DEBUG_OURS, DEBUG_MISUSE, DEBUG_NOT_OURS };

/* The record stays live, but for who claims it: it is then his, to be freed. */
struct debug_claim {
    const char *call;
    size_t bytes;      /* as the caller says that were asked for, or SIZE_MAX */
    unsigned cache;    /* that he says it is of, or RECORD_.._CACHE */
    const void *frame; /* of the function that was called */
};
enum debug_answer debug_find(const char *call, const void *p, struct record **out);
enum debug_answer debug_claim(const struct debug_claim *claim, const void *p, struct record **out);

/* Free what was claimed: what was written around the object is seen now at the latest. */
void debug_finish(struct record *r);

/* The record of what the core gave at that address; NULL: there is none. */
struct record *debug_record_of(const void *whole) REQUIRES(records_lock);

/* Objects that the core takes for live are not, or are smaller: as heap_get_totals should say it. */
void debug_adjust(struct heap_totals *totals);

/* A claimed record has given its memory back. With the lock. */
void debug_forget(const struct record *r) REQUIRES(records_lock);

/* As heap_get_origin, of what has a record. */
mm_status_t debug_get_origin(const void *p, struct heap_origin *out) MUST_USE;

/* What has happened to the byte at p in or around an object, in words; and as misuse. */
#define DAMAGE_WORDS 256
void debug_damage_words(const struct record *r, const uint8_t *p, bool live, char *out,
                        size_t bytes);
void debug_tell_damage(const struct record *r, const uint8_t *p, bool live);

#endif
