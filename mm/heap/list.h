/* Lists of slabs. What a descriptor says of its neighbours is encoded, and they are asked whether
 * they agree before a link is followed: a stray write ends in a panic that names it, not in a list
 * that leads elsewhere. */
#ifndef QL_MM_HEAP_LIST_H
#define QL_MM_HEAP_LIST_H

#include "slab.h"

struct slab_list {
    struct slab *first, *last;
};

void list_add_first(struct slab_list *list, struct slab *s);
void list_add_last(struct slab_list *list, struct slab *s);
void list_remove(struct slab_list *list, struct slab *s);

/* The slab behind s; NULL: s is the last. */
struct slab *list_next(const struct slab *s);

#endif
