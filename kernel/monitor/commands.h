/* Commands of the monitor that are more than a line. Each gets what stands behind its name, returns
 * false if that is no argument for it; and beside it the words that it knows. Private to
 * kernel/monitor/. */
#ifndef QL_KERNEL_COMMANDS_H
#define QL_KERNEL_COMMANDS_H

#include <stdbool.h>

bool command_frames(const char *argument);
const char *command_frames_word(unsigned i);

bool command_bench(const char *argument);

#endif
