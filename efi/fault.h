/* What is wrong with a file that somebody gave us: enough for one sentence with place, field and
 * value. Pure code fills it; boot.c prints it. */
#ifndef QL_EFI_FAULT_H
#define QL_EFI_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#define FAULT_ONLY UINT64_MAX

struct fault {
    const char *where; /* "program header", "relocation"; NULL: the file as a whole */
    uint64_t index;    /* which one; FAULT_ONLY: there is one only; meaningless without where */
    const char *field; /* "p_offset" */
    uint64_t value;    /* printed in hexadecimal */
    const char *what;  /* "reaches beyond the end of the file" */
};

/* Fill the fault and say no. */
static inline bool fault_set(struct fault *fault, const char *where, uint64_t index,
                             const char *field, uint64_t value, const char *what)
{
    *fault = (struct fault){where, index, field, value, what};
    return false;
}

#endif
