/* Owns: the ways to turn the machine off or start it again, in the order in which they are tried.
 * Relies on: runtime, acpi (each ready since boot, so nothing is allocated), port I/O.
 * Stage: after the take-over; before it, and in a panic, what is not ready is skipped. The other
 * CPUs are stopped first: firmware and chipset expect one that runs. */
#include "firmware/power.h"

#include "check/leaks.h"
#include "console/print.h"
#include "cpu/cpu.h"
#include "cpu/stop.h"
#include "firmware/acpi.h"
#include "firmware/runtime.h"
#include "io.h"

#define LEAKS            20 /* stacks that are said at most */
#define DEBUG_EXIT_PORT  0xf4
#define RESET_CONTROL    0xcf9
#define KEYBOARD_STATUS  0x64
#define KEYBOARD_COMMAND 0x64
#define KEYBOARD_BUSY    2
#define PULSE_RESET      0xfe

/* Ports of virtual machines: QEMU's two chipsets and Bochs, older QEMU and Bochs, VirtualBox. */
static void virtual_machine_off(void)
{
    if (!cpu_info()->hypervisor)
        return; /* on a real machine anything may be there */
    io_out16(0x604, 0x2000);
    io_out16(0xb004, 0x2000);
    io_out16(0x4004, 0x3400);
}

/* Full reset: CPU and chipset. source: Intel PCH data sheets "Reset Control Register" */
static void chipset_reset(void)
{
    io_out8(RESET_CONTROL, 0x02);
    io_out8(RESET_CONTROL, 0x06);
    cpu_wait_usec(100000);
}

static void keyboard_controller_reset(void)
{
    for (unsigned i = 0; i < 1000 && (io_in8(KEYBOARD_STATUS) & KEYBOARD_BUSY); i++)
        cpu_wait_usec(100);
    io_out8(KEYBOARD_COMMAND, PULSE_RESET);
    cpu_wait_usec(100000);
}

/* An exception without interrupt table: the processor shuts down, which every chipset turns into a
 * reset. */
static void triple_fault(void)
{
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) nothing = {0, 0};
    __asm__ volatile("lidt %0\n\tint3" ::"m"(nothing));
}

_Noreturn void power_off(void)
{
    leaks_report(LEAKS);
    stop_others(false, 0, 0);
    if (runtime_can_shut_down())
        kprintf("power off: firmware %s\n", runtime_reset(RUNTIME_RESET_SHUTDOWN));
    acpi_power_off();
    virtual_machine_off();
    kprintf("It is now safe to switch the machine off.\n");
    cpu_halt();
}

_Noreturn void power_reboot(void)
{
    leaks_report(LEAKS);
    stop_others(false, 0, 0);
    kprintf("reboot: firmware %s\n", runtime_reset(RUNTIME_RESET_COLD));
    acpi_reset();
    chipset_reset();
    keyboard_controller_reset();
    triple_fault();
    cpu_halt();
}

_Noreturn void power_debug_exit(uint32_t code)
{
    stop_others(false, 0, 0);
    io_out32(DEBUG_EXIT_PORT, code);
    power_off();
}
