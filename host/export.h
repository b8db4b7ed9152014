/* Included before every source of mm/ in the library: what the public headers declare can be called
 * from outside, everything else stays inside. The code is then the kernel's, where all of it is
 * hidden, but for the PLT. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#pragma GCC visibility push(default)
#include "mm/arena.h"
#include "mm/cpu.h"
#include "mm/heap_debug.h"
#include "mm/heap_stats.h"
#include "mm/mapper.h"
#include "mm/hhdm.h"
#include "mm/numa.h"
#include "mm/object_cache.h"
#include "mm/paging.h"
#include "mm/pmm.h"
#include "mm/port.h"
#include "mm/region.h"
#pragma GCC visibility pop

#pragma GCC visibility push(hidden)
