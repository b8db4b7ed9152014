/* Owns: text formatting and the way of text to the sinks.
 * Relies on: serial.c and console.c, each silent until it is ready (the console keeps a backlog).
 * Stage: from the first line of the kernel; also in a panic (print_emergency). */
#include "console/print.h"

#include <stdint.h>

#include "console/console.h"
#include "console/serial.h"
#include "lock.h"
#include "mm/string.h"

/* Where formatted text goes: a buffer, which flush (if any) empties when it is full. */
struct sink {
    char *buffer;
    size_t capacity;
    size_t used;
    size_t total; /* bytes of the whole text, also what did not fit */
    void (*flush)(const char *text, size_t bytes);
};

/* One conversion: %[-0][width][.precision][l|ll|z]letter */
struct spec {
    bool left, zero;
    unsigned width;
    int precision; /* -1: none */
    unsigned longs;
    char letter;
};

#define HELD_BYTES 4096

static struct spinlock log_lock = SPINLOCK_INIT(LOCK_LOG, "log");
static bool emergency;

/* While the serial line is taken: what it is to get afterwards. */
static struct {
    bool taken;
    size_t used, lost; /* bytes: of text, and that did not fit */
    char text[HELD_BYTES];
} held GUARDED_BY(log_lock);

static void put(struct sink *sink, char c)
{
    sink->total++;
    if (sink->used == sink->capacity && sink->flush) {
        sink->flush(sink->buffer, sink->used);
        sink->used = 0;
    }
    if (sink->used < sink->capacity)
        sink->buffer[sink->used++] = c;
}

static void put_padded(struct sink *sink, const struct spec *spec, const char *prefix,
                       const char *text, size_t bytes)
{
    size_t prefix_bytes = strlen(prefix);
    size_t length = prefix_bytes + bytes;
    size_t pad = spec->width > length ? spec->width - length : 0;
    bool zeros = spec->zero && !spec->left;

    for (size_t i = 0; !spec->left && !zeros && i < pad; i++)
        put(sink, ' ');
    for (size_t i = 0; i < prefix_bytes; i++)
        put(sink, prefix[i]);
    for (size_t i = 0; zeros && i < pad; i++)
        put(sink, '0');
    for (size_t i = 0; i < bytes; i++)
        put(sink, text[i]);
    for (size_t i = 0; spec->left && i < pad; i++)
        put(sink, ' ');
}

static void put_number(struct sink *sink, const struct spec *spec, const char *prefix,
                       uint64_t value, unsigned base)
{
    const char *digits = spec->letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[20]; /* 2^64 has 20 decimal digits */
    size_t at = sizeof text;
    do {
        text[--at] = digits[value % base];
        value /= base;
    } while (value != 0);
    put_padded(sink, spec, prefix, text + at, sizeof text - at);
}

static void put_string(struct sink *sink, struct spec *spec, const char *text)
{
    if (!text)
        text = "(null)";
    size_t bytes = 0;
    while ((spec->precision < 0 || bytes < (size_t)spec->precision) && text[bytes] != '\0')
        bytes++;
    spec->zero = false;
    put_padded(sink, spec, "", text, bytes);
}

/* Read the conversion behind a '%'; returns where the text goes on. */
static const char *parse_spec(const char *format, struct spec *spec, va_list *args)
{
    *spec = (struct spec){.precision = -1};
    for (; *format == '-' || *format == '0'; format++) {
        spec->left |= *format == '-';
        spec->zero |= *format == '0';
    }
    if (*format == '*') {
        int width = va_arg(*args, int);
        spec->left |= width < 0;
        spec->width = width < 0 ? 0u - (unsigned)width : (unsigned)width;
        format++;
    }
    for (; *format >= '0' && *format <= '9'; format++)
        spec->width = spec->width * 10 + (unsigned)(*format - '0');
    if (*format == '.') {
        spec->precision = 0;
        if (*++format == '*') {
            spec->precision = va_arg(*args, int);
            format++;
        }
        for (; *format >= '0' && *format <= '9'; format++)
            spec->precision = spec->precision * 10 + (*format - '0');
    }
    for (; *format == 'l' || *format == 'z'; format++)
        spec->longs++;
    spec->letter = *format;
    return *format ? format + 1 : format;
}

static void put_conversion(struct sink *sink, struct spec *spec, va_list *args)
{
    char c;
    switch (spec->letter) {
    case 'd': {
        int64_t value = spec->longs ? va_arg(*args, long) : va_arg(*args, int);
        uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
        put_number(sink, spec, value < 0 ? "-" : "", magnitude, 10);
        break;
    }
    case 'u':
    case 'x':
    case 'X': {
        uint64_t value = spec->longs ? va_arg(*args, unsigned long) : va_arg(*args, unsigned);
        put_number(sink, spec, "", value, spec->letter == 'u' ? 10 : 16);
        break;
    }
    case 'p': /* always whole: addresses are compared by eye */
        spec->zero = true;
        spec->width = 18;
        put_number(sink, spec, "0x", (uint64_t)(uintptr_t)va_arg(*args, void *), 16);
        break;
    case 's':
        put_string(sink, spec, va_arg(*args, const char *));
        break;
    case 'c':
        c = (char)va_arg(*args, int);
        spec->zero = false;
        put_padded(sink, spec, "", &c, 1);
        break;
    case '%':
        put(sink, '%');
        break;
    default: /* the compiler checks formats; what it lets through is shown rather than lost */
        put(sink, '%');
        if (spec->letter)
            put(sink, spec->letter);
    }
}

static void put_formatted(struct sink *sink, const char *format, va_list args)
{
    va_list copy;
    va_copy(copy, args); /* &args is not a va_list * where va_list is an array parameter */
    while (*format) {
        if (*format != '%') {
            put(sink, *format++);
            continue;
        }
        struct spec spec;
        format = parse_spec(format + 1, &spec, &copy);
        put_conversion(sink, &spec, &copy);
    }
    va_end(copy);
}

/* Terminals want CR LF, our text has LF. */
static void write_serial(const char *text, size_t bytes)
{
    size_t start = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] != '\n')
            continue;
        serial_write(text + start, i - start);
        serial_write("\r\n", 2);
        start = i + 1;
    }
    serial_write(text + start, bytes - start);
}

/* Whole pieces only: no character is cut. */
static void hold(const char *text, size_t bytes) REQUIRES(log_lock)
{
    if (held.lost > 0 || bytes > sizeof held.text - held.used) {
        held.lost += bytes;
        return;
    }
    memcpy(held.text + held.used, text, bytes);
    held.used += bytes;
}

static void write_all(const char *text, size_t bytes) REQUIRES(log_lock)
{
    if (held.taken)
        hold(text, bytes);
    else
        write_serial(text, bytes);
    console_write(text, bytes);
}

static void write_held(void) REQUIRES(log_lock)
{
    char words[80];
    held.taken = false;
    write_serial(held.text, held.used);
    if (held.lost > 0) {
        size_t length =
            ksnprintf(words, sizeof words, "... %zu bytes more, on the screen only\n", held.lost);
        write_serial(words, length);
    }
    held.used = held.lost = 0;
}

void print_apart(const char *serial, const char *screen)
{
    irq_state_t irq = spin_lock(&log_lock);
    if (held.taken)
        hold(serial, strlen(serial));
    else
        write_serial(serial, strlen(serial));
    console_write(screen, strlen(screen));
    spin_unlock(&log_lock, irq);
}

void print_take_serial(void)
{
    irq_state_t irq = spin_lock(&log_lock);
    held.taken = true;
    spin_unlock(&log_lock, irq);
}

void print_give_serial(void)
{
    irq_state_t irq = spin_lock(&log_lock);
    write_held();
    spin_unlock(&log_lock, irq);
}

/* A panic may come while this very lock is held, and nobody would ever give it back. */
static void print(const char *format, va_list args) TS_ATTR(no_thread_safety_analysis)
{
    char buffer[256];
    struct sink sink = {.buffer = buffer, .capacity = sizeof buffer, .flush = write_all};
    bool locked = !emergency;
    irq_state_t irq = {0};
    if (locked)
        irq = spin_lock(&log_lock);
    put_formatted(&sink, format, args);
    if (sink.used > 0)
        write_all(buffer, sink.used);
    if (locked)
        spin_unlock(&log_lock, irq);
}

void print_emergency(void) NO_LOCK_ANALYSIS
{
    emergency = true;
    if (held.taken) {
        write_serial("\n", 1); /* what had taken it ends here */
        write_held();
    }
}

void kprintf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print(format, args);
    va_end(args);
}

size_t kvsnprintf(char *out, size_t bytes, const char *format, va_list args)
{
    struct sink sink = {.buffer = out, .capacity = bytes > 0 ? bytes - 1 : 0};
    put_formatted(&sink, format, args);
    if (bytes > 0)
        out[sink.used] = '\0';
    return sink.total;
}

size_t ksnprintf(char *out, size_t bytes, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t length = kvsnprintf(out, bytes, format, args);
    va_end(args);
    return length;
}
