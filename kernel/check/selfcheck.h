/* A check of each layer of the memory manager on the real machine, at boot and on demand. */
#ifndef QL_KERNEL_SELFCHECK_H
#define QL_KERNEL_SELFCHECK_H

struct selfcheck_result {
    unsigned passed, failed;
};

/* Run all checks; failures are logged by name. */
struct selfcheck_result selfcheck_run(void);

/* The result of the last run. */
struct selfcheck_result selfcheck_last(void);

#endif
