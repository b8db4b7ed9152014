/* The one sentence that everything before the kernel ends with when it goes wrong. */
#ifndef QL_EFI_FAIL_H
#define QL_EFI_FAIL_H

#include "print.h"

/* Print "Cannot <what was being done>: EFI_...." and be the status, for `return FAIL(...)`. */
#define FAIL(status, format, ...) \
    (print("Cannot " format ": %s.\n", ##__VA_ARGS__, status_name(status)), (status))

#endif
