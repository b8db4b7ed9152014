/* A page-table walker of the tests' own: what the CPU would do, written from the manual and sharing
 * no line or constant with mm/paging.c. */
#ifndef WALKER_H
#define WALKER_H

#include <stdbool.h>
#include <stdint.h>

struct walk {
    bool present;
    bool write, user, exec, global; /* what all levels together allow */
    unsigned pat;                   /* index into the page attribute table */
    unsigned shift; /* of the page: 12, 21, 30; of the hole, if not present: up to 48 */
    uint64_t pa;    /* of va itself, not of its page */
    uint64_t raw;   /* the last entry that was read */
    uint64_t table; /* where it was read */
};

/* Translate va with the tables at the physical address root. Fails the test if a reserved bit is
 * set. */
struct walk walk(uint64_t root, uint64_t va);

/* Translate va with the table of a walk whose address was in the same 4 KiB-page table. */
struct walk walk_last(const struct walk *upper, uint64_t va);

/* Call visit for each page, ascending; va is the page's first byte. */
void walk_all(uint64_t root, void (*visit)(uint64_t va, const struct walk *page, void *context),
              void *context);

/* A number that changes with any entry of any table, and the number of tables. */
uint64_t walk_hash(uint64_t root, uint64_t *ntables);

#endif
