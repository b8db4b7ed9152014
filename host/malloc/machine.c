/* Owns: the address space that is the machine's RAM, and the start of the machine.
 * Relies on: mmap; all of the frames and the heap. Stage: machine_start goes from nothing to "heap".
 *
 * RAM is address space that Linux backs when it is touched. The shares of the CPUs lie in front of
 * it, so that a CPU can come into being without the help of another. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

#include "config.h"
#include "lock.h"
#include "parts.h"
#include "mm/heap_stats.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"

#define MIB       (1ull << 20)
#define GIB       (1ull << 30)
#define RAM_LEAST (64 * MIB)
#define RAM_FEW   (8 * GIB) /* address space costs next to nothing: at least this much */

/* From here on there is room to begin at an address for any alignment. */
#define RAM_ALIGNED (4 * GIB)

/* Known to the frames from the start: what is known costs time. Whole words of blocks (give_back.c), and a
 * page of the page map; its last blocks have the first slots of a CPU (mm/pmm/cache.h), so that they
 * share a page. Four times as much each time comes to the most in as many steps as the frames have
 * zones. */
#define RAM_FIRST (768 * MIB)
#define RAM_MOST  (RAM_FIRST << 2 * (CONFIG_PMM_ZONES_MAX - 1))

static struct {
    uint8_t *shares;
    uint64_t share_bytes; /* of one */
    uint64_t bytes;       /* of RAM */
    uint64_t known;       /* to the frames */
    struct ticket lock;   /* of whoever adds to that */
} machine;

/* What the host has, as large objects lie elsewhere; half of what the process may have, as it has other
 * things to map. */
static uint64_t wish(void)
{
    struct sysinfo info;
    struct rlimit limit;
    uint64_t bytes = RAM_FEW;
    if (sysinfo(&info) == 0)
        bytes = ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
    bytes = (bytes + GIB - 1) / GIB * GIB;
    bytes = bytes < RAM_FEW ? RAM_FEW : bytes > RAM_MOST ? RAM_MOST : bytes;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur / 2 < bytes)
        bytes = limit.rlim_cur / 2 / HUGE_2M * HUGE_2M;
    return bytes < RAM_LEAST ? RAM_LEAST : bytes;
}

/* A host that does not overcommit, or limits what a process may have, refuses: then a small part has to do,
 * and less slack. */
static uint8_t *reserve(uint64_t around, uint64_t *slack, uint64_t *bytes)
{
    for (uint64_t least = RAM_LEAST;; *slack = HUGE_2M) {
        void *p = mmap(NULL, *bytes + around + *slack, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p != MAP_FAILED)
            return p;
        if (*bytes <= least)
            break;
        *bytes = *bytes / 8 > least ? *bytes / 8 / HUGE_2M * HUGE_2M : least;
    }
    say("Linux gives no address space for %llu MiB of heap (see ulimit -v, overcommit_memory)",
        RAM_LEAST / MIB);
    abort();
}

static void start(void)
{
    machine.known = machine.bytes < RAM_FIRST ? machine.bytes : RAM_FIRST;
    const struct mem_region ram = {PA(RAM_PA), machine.known, MEM_USABLE};
    mm_status_t status = pmm_init(&ram, 1);
    if (status == MM_OK)
        status = heap_init();
    if (status == MM_OK) {
        struct heap_tuning tuning;
        heap_get_tuning(&tuning);
        tuning.sample_rate = 0; /* unless it is asked for: see options.c */
        status = heap_tune(&tuning);
    }
    if (status == MM_OK)
        return;
    say("the heap cannot start: %s", mm_status_name(status));
    abort();
}

/* Where physical 0 is: aligned as any object may be, if there is room for that. */
static vaddr_t place(uint64_t shares_bytes)
{
    const uint64_t aligned = HEAP_ALIGN_MAX + RAM_PA;
    uint64_t around = shares_bytes + FRAME_BYTES, slack = aligned;
    if (machine.bytes < RAM_ALIGNED)
        slack = HUGE_2M;
    machine.shares = reserve(around, &slack, &machine.bytes);
    vaddr_t least = va_add(va_of(machine.shares), around);
    if (slack == HUGE_2M)
        return va_sub(va_align_up(least, HUGE_2M), RAM_PA);
    vaddr_t base = va_align_up(least, HEAP_ALIGN_MAX);
    return base;
}

void machine_start(void)
{
    int error = errno;
    port_init();
    machine.share_bytes = (mm_cpu_bytes() + FRAME_BYTES - 1) & ~(FRAME_BYTES - 1);
    machine.bytes = wish();
    vaddr_t base = place(CONFIG_CPUS_MAX * machine.share_bytes);
    hhdm_init(base, RAM_PA + machine.bytes);
    port_self = 0;
    start();
    errno = error;
}

/* Each time four times as much as there is, so that a few times will do. */
bool machine_grow(uint64_t known)
{
    bool more = true;
    ticket_take(&machine.lock);
    if (machine.known == known) { /* else another thread was faster */
        uint64_t bytes = machine.bytes - known < 3 * known ? machine.bytes - known : 3 * known;
        more = bytes != 0 && pmm_add_range(PA(RAM_PA + known), bytes / FRAME_BYTES) == MM_OK;
        if (more)
            machine.known += bytes;
    }
    ticket_give(&machine.lock);
    return more;
}

uint64_t machine_known(void)
{
    return __atomic_load_n(&machine.known, __ATOMIC_ACQUIRE);
}

struct mm_cpu *machine_share(unsigned cpu)
{
    return (struct mm_cpu *)(void *)(machine.shares + cpu * machine.share_bytes);
}
