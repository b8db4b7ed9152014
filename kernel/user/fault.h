/* Page faults: what is to be resolved, who bears the rest. */
#ifndef QL_KERNEL_USER_FAULT_H
#define QL_KERNEL_USER_FAULT_H

/* Take the exception. Stage: virtual memory works. */
void fault_init(void);

#endif
