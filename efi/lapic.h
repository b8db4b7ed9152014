/* The local APIC of the CPU that runs, in either of its modes. Its registers are reached where the
 * bus has them: through the firmware's identity mapping, or the one for starting CPUs (mp.c).
 * source: Intel SDM Vol. 3A "Advanced Programmable Interrupt Controller". */
#ifndef QL_EFI_LAPIC_H
#define QL_EFI_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

#define LAPIC_INIT    0x4500u /* ICR commands: delivery mode, assert, edge, physical destination */
#define LAPIC_STARTUP 0x4600u /* + the page to start at */

/* Where the registers are; they occupy one page. The CPU has a local APIC. */
uint64_t lapic_base(void);

/* True in x2APIC mode. */
bool lapic_is_x2apic(void);

/* Change the mode if it is another; enables a local APIC that was disabled. On the way back to
 * xAPIC, which goes through disabled, spurious vector and local inputs keep what they were set
 * to. */
void lapic_set_mode(bool x2apic);

/* False if the CPU has x2APIC mode on and does not allow it to be switched off. */
bool lapic_can_be_xapic(void);

/* The state that the protocol names: enabled, nothing unmasked, LINTs that are NMIs (values of
 * madt_lints, 0: leave it as it is) programmed. */
void lapic_quiesce(const uint32_t lint[2]);

/* Send a command to one CPU, and wait until it has left. */
void lapic_send(uint32_t apic_id, uint32_t command);

#endif
