/* Owns: running the planted bugs (tests/bugs/) in the kernel, and counting which of them are told.
 * Relies on: report.c to survive them. Stage: the last one; the heap is damaged afterwards. */
#include "../../tests/bugs/bugs.h"

#include "console/print.h"
#include "kasan/kasan.h"
#include "mm/heap_debug.h"
#include "monitor/commands.h"

struct run {
    const struct bug *bug;
    bool returned_true;
};

static void run(void *argument)
{
    struct run *r = argument;
    r->returned_true = r->bug->run();
}

/* What is seen without an access: by looking at everything, as a power off does. */
static const char *look_afterwards(uint64_t mark)
{
    if (heap_check_zones() > 0)
        return "zones";
    return heap_log_leaks(mark, 1) > 0 ? "leak report" : NULL;
}

bool command_bugs(const char *argument)
{
    size_t n;
    unsigned told = 0;
    const struct bug *all = bugs(&n);
    (void)argument;
    for (size_t i = 0; i < n; i++) {
        struct run r = {.bug = &all[i]};
        uint64_t mark = heap_mark();
        const char *how = kasan_try(run, &r);
        if (!how)
            how = r.returned_true ? "result" : look_afterwards(mark);
        kprintf("  %-17s  %-12s %s\n", all[i].name, how ? how : "-", all[i].what);
        told += how != NULL;
    }
    kprintf("bugs: %u of %zu caught, %zu %%\n", told, n, told * 100 / n);
    return true;
}
