/* The formatter behind everything the loader says: UTF-8 in, UCS-2 out, in pieces large enough that
 * a slow console (a serial line behind a terminal driver) is called once per line and not per
 * character.
 *
 * Relies on ConOut only, which it looks up on every call: a shell replaces it to redirect output.
 * Stage: boot services alive. */
#include "print.h"

#include <stdarg.h>
#include <stdbool.h>

#include "firmware.h"

#define SINK_CHARS        160
#define DEFAULT_COLUMNS   80
#define REPLACEMENT       '?'
#define NUMBER_CHARS      20 /* 2^64 - 1 in decimal */
#define UNLIMITED         ((UINTN)-1)
#define SURROGATES_BEGIN  0xd800
#define SURROGATES_END    0xe000
#define HIGHEST_BMP       0xffff
#define CONTINUATION_BITS 6

struct sink {
    CHAR16 text[SINK_CHARS + 1];
    UINTN n;
};

/* What stands between '%' and the conversion's letter. */
struct spec {
    bool left, zero, wide; /* wide: l or ll, 64 bits either way on x86-64 */
    UINTN width;
    UINTN precision; /* UNLIMITED if not given */
};

static void sink_flush(struct sink *sink)
{
    if (!sink->n)
        return;
    sink->text[sink->n] = 0;
    sink->n = 0;
    if (ST->ConOut)
        ST->ConOut->OutputString(ST->ConOut, sink->text);
}

static void sink_put(struct sink *sink, CHAR16 c)
{
    if (sink->n + 2 > SINK_CHARS) /* a newline takes two */
        sink_flush(sink);
    if (c == '\n')
        sink->text[sink->n++] = '\r';
    sink->text[sink->n++] = c;
}

static void sink_pad(struct sink *sink, char c, UINTN count)
{
    while (count--)
        sink_put(sink, (CHAR16)c);
}

/* The code point at *text, which moves behind it. What is malformed, overlong, a surrogate or
 * outside UCS-2 becomes REPLACEMENT; the terminating NUL is never passed. */
static CHAR16 next_utf8(const char **text)
{
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    uint8_t lead = (uint8_t) * (*text)++;
    if (lead < 0x80)
        return lead;
    unsigned following = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    uint32_t code = lead & (0x3fu >> following);
    if (lead < 0xc0 || lead >= 0xf8)
        return REPLACEMENT;
    for (unsigned i = 0; i < following; i++) {
        if (((uint8_t) * *text & 0xc0) != 0x80)
            return REPLACEMENT;
        code = code << CONTINUATION_BITS | ((uint8_t) * (*text)++ & 0x3f);
    }
    if (code < smallest[following] || code > HIGHEST_BMP ||
        (code >= SURROGATES_BEGIN && code < SURROGATES_END))
        return REPLACEMENT;
    return (CHAR16)code;
}

static void put_utf8(struct sink *sink, const struct spec *spec, const char *text)
{
    if (!text)
        text = "(null)";
    UINTN length = 0;
    for (const char *at = text; length < spec->precision && *at; length++)
        next_utf8(&at);
    UINTN padding = spec->width > length ? spec->width - length : 0;
    if (!spec->left)
        sink_pad(sink, ' ', padding);
    for (UINTN i = 0; i < length; i++)
        sink_put(sink, next_utf8(&text));
    if (spec->left)
        sink_pad(sink, ' ', padding);
}

static void put_ucs2(struct sink *sink, const struct spec *spec, const CHAR16 *text)
{
    static const CHAR16 null[] = {'(', 'n', 'u', 'l', 'l', ')', 0};
    if (!text)
        text = null;
    UINTN length = 0;
    while (text[length])
        length++;
    UINTN padding = spec->width > length ? spec->width - length : 0;
    if (!spec->left)
        sink_pad(sink, ' ', padding);
    for (UINTN i = 0; i < length; i++)
        sink_put(sink, text[i]);
    if (spec->left)
        sink_pad(sink, ' ', padding);
}

static void put_number(struct sink *sink, const struct spec *spec, uint64_t value, char conversion,
                       bool negative)
{
    const char *digits = conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    unsigned base = conversion == 'x' || conversion == 'X' ? 16 : 10;
    char text[NUMBER_CHARS];
    UINTN first = NUMBER_CHARS;
    do {
        text[--first] = digits[value % base];
        value /= base;
    } while (value);

    UINTN length = NUMBER_CHARS - first + negative;
    UINTN padding = spec->width > length ? spec->width - length : 0;
    bool zeros = spec->zero && !spec->left;
    if (!spec->left && !zeros)
        sink_pad(sink, ' ', padding);
    if (negative)
        sink_put(sink, '-');
    if (zeros)
        sink_pad(sink, '0', padding);
    while (first < NUMBER_CHARS)
        sink_put(sink, (CHAR16)text[first++]);
    if (spec->left)
        sink_pad(sink, ' ', padding);
}

static UINTN parse_count(const char **format)
{
    UINTN n = 0;
    while (**format >= '0' && **format <= '9')
        n = n * 10 + (UINTN)(*(*format)++ - '0');
    return n;
}

/* Read the flags, width, precision and size behind a '%'; *format
 * stops at the conversion's letter. */
static struct spec parse_spec(const char **format)
{
    struct spec spec = {.precision = UNLIMITED};
    for (;; (*format)++) {
        if (**format == '-')
            spec.left = true;
        else if (**format == '0')
            spec.zero = true;
        else
            break;
    }
    spec.width = parse_count(format);
    if (**format == '.') {
        (*format)++;
        spec.precision = parse_count(format);
    }
    while (**format == 'l') {
        (*format)++;
        spec.wide = true;
    }
    return spec;
}

static void put_signed(struct sink *sink, const struct spec *spec, int64_t value)
{
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
    put_number(sink, spec, magnitude, 'd', value < 0);
}

void print(const char *format, ...)
{
    struct sink sink;
    sink.n = 0;
    va_list args;
    va_start(args, format);
    while (*format) {
        if (*format != '%') {
            sink_put(&sink, next_utf8(&format));
            continue;
        }
        format++;
        struct spec spec = parse_spec(&format);
        char conversion = *format;
        if (conversion)
            format++;
        switch (conversion) {
        case 's':
            put_utf8(&sink, &spec, va_arg(args, const char *));
            break;
        case 'S':
            put_ucs2(&sink, &spec, va_arg(args, const CHAR16 *));
            break;
        case 'd':
            put_signed(&sink, &spec, spec.wide ? va_arg(args, int64_t) : va_arg(args, int));
            break;
        case 'u':
        case 'x':
        case 'X':
            put_number(&sink, &spec, spec.wide ? va_arg(args, uint64_t) : va_arg(args, unsigned),
                       conversion, false);
            break;
        case 'p':
            put_utf8(&sink, &(struct spec){.precision = UNLIMITED}, "0x");
            put_number(&sink, &spec, (uintptr_t)va_arg(args, void *), 'x', false);
            break;
        case 'c':
            sink_put(&sink, (CHAR16)(unsigned char)va_arg(args, int));
            break;
        default: /* "%%", and a format that ends in '%' */
            sink_put(&sink, '%');
            break;
        }
    }
    va_end(args);
    sink_flush(&sink);
}

UINTN print_columns(void)
{
    SIMPLE_TEXT_OUTPUT_INTERFACE *out = ST->ConOut;
    UINTN columns = 0, rows = 0;
    if (!out || !out->Mode || out->Mode->Mode < 0 ||
        EFI_ERROR(out->QueryMode(out, (UINTN)out->Mode->Mode, &columns, &rows)) || !columns)
        return DEFAULT_COLUMNS; /* a shell's redirection to a file has no mode */
    return columns;
}

struct size_text size_text(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    uint64_t whole = bytes, rest = 0; /* rest: of this unit, in bytes of the next smaller one */
    bool exact = true;
    while (whole >= 1024) {
        exact = exact && rest == 0;
        rest = whole % 1024;
        whole /= 1024;
        unit++;
    }
    exact = exact && rest == 0;

    struct size_text out;
    char digits[8];
    UINTN n = 0, used = 0;
    do {
        digits[n++] = (char)('0' + whole % 10);
        whole /= 10;
    } while (whole);
    while (n)
        out.text[used++] = digits[--n];
    if (!exact) {
        out.text[used++] = '.';
        out.text[used++] = (char)('0' + rest * 10 / 1024);
    }
    out.text[used++] = ' ';
    for (const char *name = units[unit]; *name; name++)
        out.text[used++] = *name;
    out.text[used] = 0;
    return out;
}

const char *status_name(EFI_STATUS status)
{
    /* source: UEFI "Status Codes"; the index is the code without its error bit */
    static const char *const errors[] = {
        [1] = "EFI_LOAD_ERROR",
        [2] = "EFI_INVALID_PARAMETER",
        [3] = "EFI_UNSUPPORTED",
        [4] = "EFI_BAD_BUFFER_SIZE",
        [5] = "EFI_BUFFER_TOO_SMALL",
        [6] = "EFI_NOT_READY",
        [7] = "EFI_DEVICE_ERROR",
        [8] = "EFI_WRITE_PROTECTED",
        [9] = "EFI_OUT_OF_RESOURCES",
        [10] = "EFI_VOLUME_CORRUPTED",
        [11] = "EFI_VOLUME_FULL",
        [12] = "EFI_NO_MEDIA",
        [13] = "EFI_MEDIA_CHANGED",
        [14] = "EFI_NOT_FOUND",
        [15] = "EFI_ACCESS_DENIED",
        [16] = "EFI_NO_RESPONSE",
        [17] = "EFI_NO_MAPPING",
        [18] = "EFI_TIMEOUT",
        [19] = "EFI_NOT_STARTED",
        [20] = "EFI_ALREADY_STARTED",
        [21] = "EFI_ABORTED",
        [22] = "EFI_ICMP_ERROR",
        [23] = "EFI_TFTP_ERROR",
        [24] = "EFI_PROTOCOL_ERROR",
        [25] = "EFI_INCOMPATIBLE_VERSION",
        [26] = "EFI_SECURITY_VIOLATION",
        [27] = "EFI_CRC_ERROR",
        [28] = "EFI_END_OF_MEDIA",
        [31] = "EFI_END_OF_FILE",
        [32] = "EFI_INVALID_LANGUAGE",
        [33] = "EFI_COMPROMISED_DATA",
        [34] = "EFI_IP_ADDRESS_CONFLICT",
        [35] = "EFI_HTTP_ERROR",
    };
    static const char *const warnings[] = {
        "EFI_SUCCESS",
        "EFI_WARN_UNKNOWN_GLYPH",
        "EFI_WARN_DELETE_FAILURE",
        "EFI_WARN_WRITE_FAILURE",
        "EFI_WARN_BUFFER_TOO_SMALL",
        "EFI_WARN_STALE_DATA",
        "EFI_WARN_FILE_SYSTEM",
        "EFI_WARN_RESET_REQUIRED",
    };
    EFI_STATUS code = status & ~EFI_ERROR_MASK;
    if (EFI_ERROR(status) && code < sizeof errors / sizeof errors[0] && errors[code])
        return errors[code];
    if (!EFI_ERROR(status) && code < sizeof warnings / sizeof warnings[0])
        return warnings[code];

    static char unnamed[] = "EFI_STATUS 0x0123456789abcdef";
    for (UINTN i = 0; i < 16; i++)
        unnamed[sizeof unnamed - 2 - i] = "0123456789abcdef"[status >> (4 * i) & 15];
    return unnamed;
}
