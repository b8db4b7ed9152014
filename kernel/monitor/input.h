/* Keys from wherever a person may be: the serial line and the keyboard. */
#ifndef QL_KERNEL_INPUT_H
#define QL_KERNEL_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "monitor/keyboard.h"

/* Look for the devices. False: there is nothing to type on. */
bool input_init(void);

/* Wait for the next key. Polls: there are no interrupts to wait for yet. */
int input_wait(void);

/* The next key, KEY_NONE if there is none yet. */
int input_poll(void);

/* What a terminal has sent of an escape sequence. Starts zeroed. */
struct input_terminal {
    uint8_t state;
    uint8_t parameter;
    bool after_cr;
};

/* Feed one byte from a terminal; the key it completes, or KEY_NONE. CR, LF and CR LF are one enter
 * each; what is neither ASCII nor a known sequence is ignored. Pure: exposed for tests. */
int input_decode(struct input_terminal *terminal, uint8_t byte);

#endif
