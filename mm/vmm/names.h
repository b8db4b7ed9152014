/* The names of ranges as small numbers, which fit into an entry of a page table. Internal to
 * mm/vmm/.
 *
 * Append-only: a number stands for the same name for ever. Equal strings have one number,
 * wherever they are. The strings are not copied: they must stay.
 * Memory: 1.6 KiB, and a frame for each 256 names after the first 64.
 * locking: name_of never waits and takes no lock: for panics, too. name_number takes none for a
 *          name that is known, and LOCK_NAMES to add one. Any CPU; not from interrupt handlers.
 * Stage: any; names_init, in vmm_init, forgets all. */
#ifndef QL_VMM_NAMES_H
#define QL_VMM_NAMES_H

#define NAMES_MAX    2048u /* numbers: 0 .. 2047 */
#define NAME_UNNAMED 0u    /* the number of all names that there was no room for: "unnamed" */

void names_init(void);

/* The number of a name, which gets one if it has none. NAME_UNNAMED if there is no room or
 * memory. */
unsigned name_number(const char *name);

/* The name with this number. Never NULL: "unnamed" for what is no number. */
const char *name_of(unsigned number);

#endif
