/* Owns: the UART at 0x3f8.
 * Relies on: nothing. Stage: from the first line of the kernel; also in a panic.
 * source: PC16550D data sheet (National Semiconductor), "Register Summary". */
#include "console/serial.h"

#include <stdint.h>

#include "io.h"
#include "mm/port.h"

enum {
    UART = 0x3f8, /* COM1 */
    UART_DATA = UART,
    UART_IER = UART + 1, /* interrupt enable; with DLAB set: divisor high */
    UART_FCR = UART + 2, /* FIFO control (write), interrupt identification (read) */
    UART_LCR = UART + 3, /* line control */
    UART_MCR = UART + 4, /* modem control */
    UART_LSR = UART + 5, /* line status */
    UART_SCRATCH = UART + 7,

    LCR_8N1 = 0x03,
    LCR_DLAB = 0x80,
    FCR_ENABLE_AND_CLEAR = 0x07,
    IIR_FIFO_WORKS = 0xc0,
    MCR_DTR_RTS_OUT2 = 0x0b,
    MCR_LOOPBACK = 0x1e,
    LSR_DATA_READY = 0x01,
    LSR_HOLDING_EMPTY = 0x20,
    LSR_ALL_SENT = 0x40,
    LSR_NOTHING_THERE = 0xff, /* an empty bus reads as ones: the UART was unplugged */

    FIFO_BYTES = 16,
    DIVISOR_115200 = 1,

    /* A status read takes about a microsecond on real hardware, sending a full FIFO at 115200 baud
     * 1.4 ms, at the 9600 baud that firmware may have left behind 17 ms. */
    WAIT_READS = 100000,
};

static struct {
    bool present;
    unsigned burst; /* bytes that fit once the holding register is empty */
} uart;

/* Poll the line status until one of bits is set. False if it takes longer than anything sane. */
static bool wait_for(uint8_t bits)
{
    for (unsigned i = 0; i < WAIT_READS; i++) {
        if (io_in8(UART_LSR) & bits)
            return true;
        port_relax(); /* a line takes milliseconds, with interrupts off: others go on meanwhile */
    }
    return false;
}

/* An empty bus reads as ones: two different values must come back. */
static bool scratch_remembers(void)
{
    io_out8(UART_SCRATCH, 0x5a);
    if (io_in8(UART_SCRATCH) != 0x5a)
        return false;
    io_out8(UART_SCRATCH, 0xa5);
    return io_in8(UART_SCRATCH) == 0xa5;
}

/* A byte sent to ourselves arrives unchanged. */
static bool loopback_works(void)
{
    io_out8(UART_MCR, MCR_LOOPBACK);
    for (unsigned i = 0; i < FIFO_BYTES && (io_in8(UART_LSR) & LSR_DATA_READY); i++)
        (void)io_in8(UART_DATA); /* typed before we came */
    io_out8(UART_DATA, 0xae);
    return wait_for(LSR_DATA_READY) && io_in8(UART_DATA) == 0xae;
}

bool serial_init(void)
{
    uart.present = false;
    if (!scratch_remembers())
        return false;
    (void)wait_for(LSR_ALL_SENT); /* the firmware's last words go out at the firmware's speed */

    io_out8(UART_IER, 0);
    io_out8(UART_LCR, LCR_DLAB);
    io_out8(UART_DATA, DIVISOR_115200 & 0xff);
    io_out8(UART_IER, DIVISOR_115200 >> 8);
    io_out8(UART_LCR, LCR_8N1);
    io_out8(UART_FCR, FCR_ENABLE_AND_CLEAR);
    bool fifo = (io_in8(UART_FCR) & IIR_FIFO_WORKS) == IIR_FIFO_WORKS;
    bool works = loopback_works();
    io_out8(UART_MCR, MCR_DTR_RTS_OUT2);

    uart.burst = fifo ? FIFO_BYTES : 1;
    uart.present = works;
    return works;
}

bool serial_present(void)
{
    return uart.present;
}

void serial_write(const char *text, size_t bytes)
{
    while (uart.present && bytes > 0) {
        if (!wait_for(LSR_HOLDING_EMPTY)) {
            uart.present = false; /* stuck: waiting again for every byte would look like a hang */
            return;
        }
        size_t burst = bytes < uart.burst ? bytes : uart.burst;
        for (size_t i = 0; i < burst; i++)
            io_out8(UART_DATA, (uint8_t)text[i]);
        text += burst;
        bytes -= burst;
    }
}

int serial_read(void)
{
    uint8_t status = uart.present ? io_in8(UART_LSR) : 0;
    if (!(status & LSR_DATA_READY) || status == LSR_NOTHING_THERE)
        return -1;
    return io_in8(UART_DATA);
}
