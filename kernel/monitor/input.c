/* Owns: the merging of serial line and keyboard, and a terminal's escape sequences.
 * Relies on: serial.c, keyboard.c. Stage: any.
 * source: ECMA-48 "Control Functions for Coded Character Sets" (CSI). */
#include "monitor/input.h"

#ifndef QL_HOST
#include "console/serial.h"
#include "cpu/clock.h"
#include "cpu/cpu.h"
#endif

enum { TERMINAL_TEXT, TERMINAL_ESCAPE, TERMINAL_CSI, TERMINAL_SS3 };

/* ESC [ A and ESC O A, ... */
static int key_of_letter(uint8_t final)
{
    switch (final) {
    case 'A':
        return KEY_UP;
    case 'B':
        return KEY_DOWN;
    case 'C':
        return KEY_RIGHT;
    case 'D':
        return KEY_LEFT;
    case 'H':
        return KEY_HOME;
    case 'F':
        return KEY_END;
    default:
        return KEY_NONE;
    }
}

/* ESC [ number ~ */
static int key_of_number(uint8_t number)
{
    switch (number) {
    case 1:
    case 7:
        return KEY_HOME;
    case 3:
        return KEY_DELETE;
    case 4:
    case 8:
        return KEY_END;
    default:
        return KEY_NONE;
    }
}

static int decode_csi(struct input_terminal *terminal, uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        terminal->parameter =
            (uint8_t)(terminal->parameter * 10 + (byte - '0')); /* wraps harmlessly */
        return KEY_NONE;
    }
    if (byte < 0x40 || byte > 0x7e) /* further parameters and intermediates */
        return KEY_NONE;
    terminal->state = TERMINAL_TEXT;
    return byte == '~' ? key_of_number(terminal->parameter) : key_of_letter(byte);
}

static int decode_text(struct input_terminal *terminal, uint8_t byte)
{
    bool after_cr = terminal->after_cr;

    terminal->after_cr = byte == '\r';
    if (byte == '\r' || (byte == '\n' && !after_cr))
        return '\n';
    if (byte == 0x7f)
        return '\b'; /* what most terminals send for the backspace key */
    if (byte == '\n' || byte == 0 || byte > 0x7f)
        return KEY_NONE;
    return byte;
}

int input_decode(struct input_terminal *terminal, uint8_t byte)
{
    if (byte == 0x1b) {
        terminal->state = TERMINAL_ESCAPE;
        return KEY_NONE;
    }
    if (byte < 0x20 || byte > 0x7e) /* a sequence that breaks off does not swallow what follows */
        terminal->state = TERMINAL_TEXT;

    switch (terminal->state) {
    case TERMINAL_ESCAPE:
        terminal->state = byte == '[' ? TERMINAL_CSI : byte == 'O' ? TERMINAL_SS3 : TERMINAL_TEXT;
        terminal->parameter = 0;
        return KEY_NONE;
    case TERMINAL_SS3:
        terminal->state = TERMINAL_TEXT;
        return key_of_letter(byte);
    case TERMINAL_CSI:
        return decode_csi(terminal, byte);
    default:
        return decode_text(terminal, byte);
    }
}

#ifndef QL_HOST
#define BUSY_USEC 20000
#define PAUSES    200

bool input_init(void)
{
    bool keyboard = keyboard_init();
    return serial_present() || keyboard;
}

/* Between two looks at the devices. Their registers are slow, and reading them leaves a virtual
 * machine. Behind a key the next one may come at the speed of a program; later the CPU may sleep:
 * at 115200 baud a 16-byte FIFO fills in 1.4 ms, which is longer than a rest. */
static void rest(uint64_t start)
{
    if (cpu_tsc() - start > cpu_tsc_ticks(BUSY_USEC)) {
        clock_rest();
        return;
    }
    for (unsigned i = 0; i < PAUSES; i++)
        __builtin_ia32_pause();
}

int input_poll(void)
{
    static struct input_terminal terminal;
    int key = keyboard_read();

    for (int byte; key == KEY_NONE && (byte = serial_read()) >= 0;)
        key = input_decode(&terminal, (uint8_t)byte);
    return key;
}

int input_wait(void)
{
    uint64_t start = cpu_tsc();

    for (;;) {
        int key = input_poll();
        if (key != KEY_NONE)
            return key;
        rest(start);
    }
}
#endif
