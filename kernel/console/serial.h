/* A 16550 UART at the first PC port, polled. Stage: from the first line of the kernel. */
#ifndef QL_KERNEL_SERIAL_H
#define QL_KERNEL_SERIAL_H

#include <stdbool.h>
#include <stddef.h>

/* Probe (scratch register and loopback) and set 115200 8N1. False: none there; all else is then a
 * no-op. */
bool serial_init(void);
bool serial_present(void);

/* Send bytes; waits for the transmitter, but never for ever. */
void serial_write(const char *text, size_t bytes);

/* The next byte received, -1 if there is none. */
int serial_read(void);

#endif
