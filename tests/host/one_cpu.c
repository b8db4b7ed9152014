/* Owns: as much of the port as kernel/console/print.c and its lock need where no machine is
 * simulated. */
#include <stdio.h>
#include <stdlib.h>

#include "mm/port.h"

unsigned port_cpu_id(void)
{
    return 0;
}

void port_relax(void) {}

__attribute__((weak)) void port_panic(const char *fmt, ...)
{
    fprintf(stderr, "panic: %s\n", fmt);
    abort();
}
