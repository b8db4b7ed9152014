/* Owns: how sizes and times are written. Relies on: ksnprintf. Stage: any. */
#include "report/units.h"

#include "console/print.h"

const char *units_size(char out[UNITS_MAX], uint64_t bytes)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;

    if (bytes == 0) {
        ksnprintf(out, UNITS_MAX, "0");
        return out;
    }
    while (unit + 1 < sizeof names / sizeof names[0] && bytes >> (10 * unit) >= 1024)
        unit++;

    uint64_t whole = bytes >> (10 * unit);
    uint64_t rest = bytes - (whole << (10 * unit));
    if (rest == 0)
        ksnprintf(out, UNITS_MAX, "%lu %s", (unsigned long)whole, names[unit]);
    else /* unit > 0 here; the shift keeps the product with 10 inside 64 bits */
        ksnprintf(out, UNITS_MAX, "%lu.%lu %s", (unsigned long)whole,
                  (unsigned long)((rest >> (10 * (unit - 1))) * 10 / 1024), names[unit]);
    return out;
}

const char *units_time(char out[UNITS_MAX], uint64_t usec)
{
    unsigned long n = usec;

    if (n < 1000)
        ksnprintf(out, UNITS_MAX, "%lu us", n);
    else if (n < 1000000)
        ksnprintf(out, UNITS_MAX, "%lu.%lu ms", n / 1000, n / 100 % 10);
    else
        ksnprintf(out, UNITS_MAX, "%lu.%02lu s", n / 1000000, n / 10000 % 100);
    return out;
}
