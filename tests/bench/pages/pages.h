/* What the parts of bench-pages share. */
#ifndef PAGES_H
#define PAGES_H

#include <quicklime/host.h>
#include <quicklime/mm/paging.h>

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)

/* --- floor.c: filling and clearing leaf tables, without any tree --------------------------------- */

/* Get frames for so many tables, and back them. The process ends without them. */
void floor_start(uint64_t ntables);
void floor_stop(void);

/* Fill tables with entries for 'n' pages of so many bytes from pa on; clear them again. */
void floor_fill(uint64_t n, uint64_t pa, uint64_t page_bytes);
void floor_clear(uint64_t n);

/* --- walk.c: a tree, changed page by page from the root ------------------------------------------- */

void walk_start(void);
void walk_stop(void);
void walk_map(uint64_t va, uint64_t pa, uint64_t bytes, uint64_t page_bytes);
void walk_unmap(uint64_t va, uint64_t bytes, uint64_t page_bytes);
void walk_protect(uint64_t va, uint64_t bytes);
uint64_t walk_translate(uint64_t va);

/* --- clock.c --------------------------------------------------------------------------------------- */

/* CPU time of the thread in nanoseconds, less what reading it takes, since the last start. */
void clock_begin(void);
double clock_end(void);

/* Instructions of the thread in user mode since the last start; negative if the host does not say. */
void count_begin(void);
double count_end(void);

#endif
