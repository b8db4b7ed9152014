/* Slabs that are no CPU's. */
#ifndef QL_MM_HEAP_SHARED_H
#define QL_MM_HEAP_SHARED_H

#include "share.h"

struct shared_class {
    struct slab_list list; /* those with free objects first, as far as we know */
    uint64_t slabs, pages, used;
};

struct shared {
    struct spinlock lock;
    struct slab *spare[2]; /* descriptors that CPUs have too many of, as in a share */
    struct shared_class classes[CLASS_COUNT];
};
extern struct shared shared;

/* None. */
void shared_init(void);

/* Give a slab away that is in no list; if it is empty, it stays in the reserve. Own share locked. */
void shared_put(struct share *s, struct slab *slab);

/* Take one of the class that has free objects; it is in no list then. NULL: none is at hand. */
struct slab *shared_take(struct share *s, unsigned class);

/* Take all of the class, as full slabs: for a cache that goes. */
void shared_adopt(struct share *s, unsigned class);

/* Take some descriptors, if there are any; or give all away but so many. Own share locked. */
void shared_take_spare(struct share *s, bool wide);
void shared_give_spares(struct share *s, bool wide, uint32_t keep);

/* A bit of remote was set in a slab that was nobody's then; first: there was none before in its
 * word. No lock is held. */
void shared_freed(struct slab *slab, bool first);

#endif
