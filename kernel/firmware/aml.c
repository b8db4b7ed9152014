/* Owns: finding one constant in AML without interpreting it.
 * Relies on: nothing. Stage: any. source: ACPI 6.5 chapter 20.2 "AML Grammar Definition" */
#include "firmware/aml.h"

#include "mm/string.h"

/* An integer constant of AML. source: ACPI 6.5 chapter 20.2.3 "Data Objects Encoding" */
static bool parse_small_integer(const uint8_t **at, const uint8_t *end, uint8_t *out)
{
    if (*at >= end)
        return false;
    uint8_t opcode = *(*at)++;
    if (opcode <= 1) { /* ZeroOp, OneOp */
        *out = opcode;
        return true;
    }
    size_t bytes = opcode == 0x0a ? 1 : opcode == 0x0b ? 2 : opcode == 0x0c ? 4 : 0;
    if (bytes == 0 || (size_t)(end - *at) < bytes)
        return false;
    for (size_t i = 1; i < bytes; i++)
        if ((*at)[i] != 0) /* little endian: more than a byte holds */
            return false;
    *out = **at;
    *at += bytes;
    return true;
}

/* PkgLength: the bytes of the package from *at on, this encoding included; 0 if there is none.
 * source: ACPI 6.5 chapter 20.2.4 "Package Length Encoding" */
static size_t parse_length(const uint8_t **at, const uint8_t *end)
{
    if (*at >= end)
        return 0;
    unsigned lead = **at;
    size_t following = lead >> 6; /* the top two bits tell how many bytes follow */
    if ((size_t)(end - *at) < 1 + following)
        return 0;
    size_t length = following ? lead & 0x0f : lead;
    for (size_t i = 0; i < following; i++)
        length |= (size_t)(*at)[1 + i] << (4 + 8 * i);
    *at += 1 + following;
    return length;
}

/* What follows the name: PackageOp, PkgLength, NumElements, elements. */
static bool parse_sleep_package(const uint8_t *at, const uint8_t *end, uint8_t *type_a,
                                uint8_t *type_b)
{
    if (at >= end || *at++ != 0x12)
        return false;
    const uint8_t *start = at;
    size_t length = parse_length(&at, end);
    if (length > (size_t)(end - start) || start + length <= at)
        return false;
    end = start + length;
    uint8_t elements = *at++;
    uint8_t a, b;
    if (elements < 2 || !parse_small_integer(&at, end, &a) || !parse_small_integer(&at, end, &b))
        return false;
    if (a > 7 || b > 7) /* three bits of the register */
        return false;
    *type_a = a;
    *type_b = b;
    return true;
}

bool aml_find_s5(const uint8_t *aml, size_t bytes, uint8_t *type_a, uint8_t *type_b)
{
    const uint8_t *end = aml + bytes;
    for (size_t i = 1; i + 4 <= bytes; i++) {
        if (memcmp(aml + i, "_S5_", 4) != 0)
            continue;
        /* NameOp, maybe with the root's backslash: else it is a mention, not the definition. */
        bool defined = aml[i - 1] == 0x08 || (i >= 2 && aml[i - 1] == '\\' && aml[i - 2] == 0x08);
        if (defined && parse_sleep_package(aml + i + 4, end, type_a, type_b))
            return true;
    }
    return false;
}
