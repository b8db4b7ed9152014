/* Owns: port_barrier_all of a Linux process.
 * Relies on: membarrier(2), which interrupts the host's CPUs that run a thread of this process; one
 * that runs none has passed a barrier when it switched. */
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "machine.h"
#include "mm/port.h"

static long membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

bool barrier_init(void)
{
    return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

void port_barrier_all(void)
{
    if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0)
        port_panic("the host has lost membarrier");
}
