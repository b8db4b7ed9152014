/* Owns: the 8042 controller and the meaning of its scan codes.
 * Relies on: nothing. Stage: any.
 * source: IBM PS/2 Technical Reference, "Keyboard and Auxiliary Device Controller"; "Keyboards",
 * scan code set 1. */
#include "monitor/keyboard.h"

#include <stddef.h>

#ifndef QL_HOST
#include "io.h"
#endif

enum {
    CODE_EXTENDED = 0xe0,
    CODE_PAUSE = 0xe1,
    CODE_RELEASED = 0x80,
    CODE_CTRL = 0x1d,
    CODE_LEFT_SHIFT = 0x2a,
    CODE_RIGHT_SHIFT = 0x36,
    CODE_CAPS_LOCK = 0x3a,
    CODE_NUM_LOCK = 0x45,
    CODE_KEYPAD_SLASH = 0x35, /* extended */
    CODE_KEYPAD_FIRST = 0x47, /* 7 8 9 - 4 5 6 + 1 2 3 0 . */
    CODE_KEYPAD_LAST = 0x53,
    CODE_INTERNATIONAL = 0x56, /* between left shift and Z; on a US layout a second backslash */

    PAUSE_BYTES = 2, /* behind each e1: "1d 45" when pressed, "9d c5" when released */
};

/* Scan codes 00..39 in order; 0: no character. */
static const char plain[] = "\0\x1b"
                            "1234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] = "\0\x1b"
                              "!@#$%^&*()_+\b\tQWERTYUIOP{}\n\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";
_Static_assert(sizeof plain == sizeof shifted && sizeof plain == 0x3a + 1, "codes 00..39");

/* The keypad without num lock, and the keys beside it, whose codes are the same. */
static const int16_t keypad_keys[] = {KEY_HOME, KEY_UP,    KEY_NONE,  '-',     KEY_LEFT,
                                      KEY_NONE, KEY_RIGHT, '+',       KEY_END, KEY_DOWN,
                                      KEY_NONE, KEY_NONE,  KEY_DELETE};
static const char keypad_digits[] = "789-456+1230.";
_Static_assert(sizeof keypad_digits - 1 == CODE_KEYPAD_LAST - CODE_KEYPAD_FIRST + 1, "keypad");

/* Shift, control and the locks. True if the code was one of them. */
static bool decode_modifier(struct keyboard_state *state, uint8_t code, bool pressed, bool extended)
{
    switch (code) {
    case CODE_CTRL:
        *(extended ? &state->right_ctrl : &state->left_ctrl) = pressed;
        return true;
    case CODE_LEFT_SHIFT:
    case CODE_RIGHT_SHIFT:
        if (!extended) /* an extended one is made up by the keyboard around the arrow keys */
            *(code == CODE_LEFT_SHIFT ? &state->left_shift : &state->right_shift) = pressed;
        return true;
    case CODE_CAPS_LOCK:
        state->caps_lock ^= pressed && !state->caps_held;
        state->caps_held = pressed;
        return true;
    case CODE_NUM_LOCK:
        state->num_lock ^= pressed && !state->num_held;
        state->num_held = pressed;
        return true;
    default:
        return false;
    }
}

static int decode_character(const struct keyboard_state *state, uint8_t code)
{
    bool shift = state->left_shift || state->right_shift;

    if (code == CODE_INTERNATIONAL)
        return shift ? '|' : '\\';
    if (code >= sizeof plain - 1 || plain[code] == 0)
        return KEY_NONE;
    char c = plain[code];
    bool letter = c >= 'a' && c <= 'z';
    if (letter && (state->left_ctrl || state->right_ctrl))
        return KEY_CTRL(c);
    return (shift != (letter && state->caps_lock)) ? shifted[code] : c;
}

int keyboard_decode(struct keyboard_state *state, uint8_t byte)
{
    if (state->skip) {
        state->skip--;
        return KEY_NONE;
    }
    if (byte == CODE_PAUSE) {
        state->skip = PAUSE_BYTES;
        return KEY_NONE;
    }
    if (byte == CODE_EXTENDED) {
        state->extended = true;
        return KEY_NONE;
    }
    bool extended = state->extended;
    bool pressed = !(byte & CODE_RELEASED);
    uint8_t code = byte & (uint8_t)~CODE_RELEASED;

    state->extended = false;
    if (decode_modifier(state, code, pressed, extended) || !pressed)
        return KEY_NONE;
    if (code >= CODE_KEYPAD_FIRST && code <= CODE_KEYPAD_LAST) {
        unsigned i = code - CODE_KEYPAD_FIRST;
        return state->num_lock && !extended ? keypad_digits[i] : keypad_keys[i];
    }
    if (extended && code != CODE_KEYPAD_SLASH && plain[code < sizeof plain ? code : 0] != '\n')
        return KEY_NONE; /* of the extended keys only / and enter of the keypad are characters */
    return extended && code == CODE_KEYPAD_SLASH ? '/' : decode_character(state, code);
}

#ifndef QL_HOST
/* ---- the controller ------------------------------------------------------------------------- */

enum {
    PORT_DATA = 0x60,
    PORT_STATUS = 0x64,  /* read */
    PORT_COMMAND = 0x64, /* write */

    STATUS_OUTPUT_FULL = 0x01,
    STATUS_INPUT_FULL = 0x02,
    STATUS_FROM_AUXILIARY = 0x20, /* the byte is the mouse's */
    STATUS_NOTHING_THERE = 0xff,  /* an empty bus reads as ones */

    COMMAND_READ_CONFIGURATION = 0x20,
    COMMAND_WRITE_CONFIGURATION = 0x60,
    COMMAND_ENABLE_KEYBOARD = 0xae,

    CONFIGURATION_INTERRUPTS = 0x03,
    CONFIGURATION_KEYBOARD_OFF = 0x10,
    CONFIGURATION_TRANSLATE = 0x40,

    KEYBOARD_SCAN = 0xf4,

    WAIT_READS = 20000, /* of about a microsecond; a keyboard answers within 20 ms */
    FLUSH_BYTES = 64,   /* more than any controller holds: then it is not one */
};

static struct {
    bool present;
    struct keyboard_state state;
} keyboard;

/* Wait until (status & mask) == value. */
static bool wait_status(uint8_t mask, uint8_t value)
{
    for (unsigned i = 0; i < WAIT_READS; i++) {
        if ((io_in8(PORT_STATUS) & mask) == value)
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

static bool send(uint16_t port, uint8_t byte)
{
    if (!wait_status(STATUS_INPUT_FULL, 0))
        return false;
    io_out8(port, byte);
    return true;
}

static bool receive(uint8_t *out)
{
    if (!wait_status(STATUS_OUTPUT_FULL, STATUS_OUTPUT_FULL))
        return false;
    *out = io_in8(PORT_DATA);
    return true;
}

/* Throw away what was typed before we came. False: it never ends. */
static bool drain(void)
{
    for (unsigned i = 0; i < FLUSH_BYTES; i++) {
        if (!(io_in8(PORT_STATUS) & STATUS_OUTPUT_FULL))
            return true;
        (void)io_in8(PORT_DATA);
    }
    return false;
}

/* Firmware leaves the controller as it liked it: set what polling needs, leave the rest. */
static bool configure(void)
{
    uint8_t configuration;

    if (!send(PORT_COMMAND, COMMAND_READ_CONFIGURATION) || !receive(&configuration))
        return false;
    configuration &= (uint8_t) ~(CONFIGURATION_INTERRUPTS | CONFIGURATION_KEYBOARD_OFF);
    configuration |= CONFIGURATION_TRANSLATE;
    return send(PORT_COMMAND, COMMAND_WRITE_CONFIGURATION) && send(PORT_DATA, configuration) &&
           send(PORT_COMMAND, COMMAND_ENABLE_KEYBOARD) && send(PORT_DATA, KEYBOARD_SCAN);
}

bool keyboard_init(void)
{
    keyboard.state = (struct keyboard_state){0};
    keyboard.present = io_in8(PORT_STATUS) != STATUS_NOTHING_THERE && drain() && configure();
    return keyboard.present;
}

int keyboard_read(void)
{
    if (!keyboard.present)
        return KEY_NONE;
    for (unsigned i = 0; i < FLUSH_BYTES; i++) {
        uint8_t status = io_in8(PORT_STATUS);
        if (status == STATUS_NOTHING_THERE || !(status & STATUS_OUTPUT_FULL))
            return KEY_NONE;
        uint8_t byte = io_in8(PORT_DATA);
        if (status & STATUS_FROM_AUXILIARY)
            continue;
        int key = keyboard_decode(&keyboard.state, byte);
        if (key != KEY_NONE)
            return key;
    }
    return KEY_NONE;
}
#endif
