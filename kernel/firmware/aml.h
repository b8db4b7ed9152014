/* The one thing that power off needs of a machine's AML. Pure: exposed for tests. */
#ifndef QL_KERNEL_AML_H
#define QL_KERNEL_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Find `Name (_S5_, Package () {a, b, ...})` in the body of a DSDT: the sleep types of "soft off"
 * for the two PM1 control registers, 0..7. False, outputs untouched: it is not there, or not
 * constant. */
bool aml_find_s5(const uint8_t *aml, size_t bytes, uint8_t *type_a, uint8_t *type_b);

#endif
