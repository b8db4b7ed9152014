/* Owns: the moment since which objects may be leaks.
 * Relies on: the heap's records. Stage: leaks_begin at the end of the boot. */
#include "check/leaks.h"

#include "console/print.h"
#include "panic/panic.h"

static uint64_t start;

void leaks_begin(void)
{
    start = heap_mark();
}

void leaks_report(unsigned most)
{
    if (panic_under_way())
        return;
    kprintf("heap: allocated since the boot and not freed:\n");
    (void)heap_log_leaks(start, most);
    uint64_t damaged = heap_check_zones();
    if (damaged > 0)
        kprintf("heap: %lu objects are damaged\n", (unsigned long)damaged);
}
