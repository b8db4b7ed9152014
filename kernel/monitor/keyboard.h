/* A PS/2 keyboard at the 8042 controller, polled: US layout, scan code set 1 as the controller
 * makes it of what the keyboard sends. Stage: any; needs no interrupts, allocates nothing. */
#ifndef QL_KERNEL_KEYBOARD_H
#define QL_KERNEL_KEYBOARD_H

#include <stdbool.h>
#include <stdint.h>

/* Keys: characters as ASCII (control with a letter as 1..26, enter '\n', backspace '\b', tab '\t',
 * escape 0x1b), and those that no character stands for. */
enum key {
    KEY_NONE = -1,
    KEY_UP = 0x100,
    KEY_DOWN,
    KEY_LEFT,
    KEY_RIGHT,
    KEY_HOME,
    KEY_END,
    KEY_DELETE,
};

#define KEY_CTRL(letter) ((letter)&0x1f)

/* Find the controller, empty it, let it translate and scan. False: there is none, or it does not
 * answer; keyboard_read then finds nothing. */
bool keyboard_init(void);

/* The next key pressed, KEY_NONE if there is none. */
int keyboard_read(void);

/* What the keys held and locked mean for the next one. Starts zeroed. */
struct keyboard_state {
    bool left_shift, right_shift, left_ctrl, right_ctrl, caps_lock, num_lock;
    bool caps_held, num_held; /* a key that repeats must not toggle again */
    bool extended;            /* the byte e0 came before */
    uint8_t skip;             /* bytes of a Pause key still to ignore */
};

/* Feed one byte of scan code set 1; the key it completes, or KEY_NONE. Unknown codes and the
 * controller's own answers are ignored, in any order. Pure: exposed for tests. */
int keyboard_decode(struct keyboard_state *state, uint8_t byte);

#endif
