/* The monitor: commands typed on the serial line or the keyboard, answered on both consoles.
 * Stage: after the report; the last thing that runs. */
#ifndef QL_KERNEL_MONITOR_H
#define QL_KERNEL_MONITOR_H

/* Show the prompt and obey. Halts, with a sentence, where there is nothing to type on. */
_Noreturn void monitor_run(void);

#endif
