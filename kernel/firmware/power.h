/* Power off and reboot: UEFI runtime services first, the chipset if they fail. */
#ifndef QL_KERNEL_POWER_H
#define QL_KERNEL_POWER_H

#include <stdint.h>

_Noreturn void power_off(void);
_Noreturn void power_reboot(void);

/* Leave QEMU through isa-debug-exit (exit status code << 1 | 1); powers off where there is none. */
_Noreturn void power_debug_exit(uint32_t code);

#endif
