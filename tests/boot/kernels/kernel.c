/* Requests, output, and the order of the checks. */
#include "kernel.h"

#include <stdarg.h>

#define REQUEST __attribute__((used, section(".requests"), aligned(8)))
#define ID(feature)                  \
    {                                \
        LIMINE_COMMON_MAGIC, feature \
    }

#ifndef PAGING_MODE
#define PAGING_MODE LIMINE_PAGING_4LEVEL
#endif

struct entry_state entry_state, ap_state;
unsigned failures;

/* A decoy outside the markers: it must be neither answered nor counted as a second request. */
volatile struct limine_request decoy_request
    __attribute__((used, section(".data"), aligned(8))) = {.id = ID(LIMINE_HHDM)};

__attribute__((used, section(".requests_start"),
               aligned(8))) static volatile uint64_t start_marker[4] = {LIMINE_START_MARKER};
__attribute__((used, section(".requests_end"),
               aligned(8))) static volatile uint64_t end_marker[2] = {LIMINE_END_MARKER};
REQUEST volatile uint64_t base_revision[3] = {LIMINE_BASE_REVISION, REVISION};

REQUEST volatile struct limine_request memmap_request = {.id = ID(LIMINE_MEMMAP)};
REQUEST volatile struct limine_request hhdm_request = {.id = ID(LIMINE_HHDM)};
REQUEST volatile struct limine_request framebuffer_request = {.id = ID(LIMINE_FRAMEBUFFER),
                                                              .revision = 1};
REQUEST volatile struct limine_request info_request = {.id = ID(LIMINE_BOOTLOADER_INFO)};
REQUEST volatile struct limine_request cmdline_request = {.id = ID(LIMINE_EXECUTABLE_CMDLINE)};
REQUEST volatile struct limine_request firmware_request = {.id = ID(LIMINE_FIRMWARE_TYPE)};
REQUEST volatile struct limine_request file_request = {.id = ID(LIMINE_EXECUTABLE_FILE)};
REQUEST volatile struct limine_request address_request = {.id = ID(LIMINE_EXECUTABLE_ADDRESS)};
REQUEST volatile struct limine_request rsdp_request = {.id = ID(LIMINE_RSDP)};
REQUEST volatile struct limine_request smbios_request = {.id = ID(LIMINE_SMBIOS)};
REQUEST volatile struct limine_request system_table_request = {.id = ID(LIMINE_EFI_SYSTEM_TABLE)};
REQUEST volatile struct limine_request efi_memmap_request = {.id = ID(LIMINE_EFI_MEMMAP)};
REQUEST volatile struct limine_request date_request = {.id = ID(LIMINE_DATE_AT_BOOT)};
REQUEST volatile struct limine_request performance_request = {
    .id = ID(LIMINE_BOOTLOADER_PERFORMANCE)};
REQUEST volatile struct limine_request tsc_request = {.id = ID(LIMINE_TSC_FREQUENCY)};
REQUEST volatile struct limine_request unknown_request = {/* a feature nobody has */
                                                          .id = {LIMINE_COMMON_MAGIC, 0x1234,
                                                                 0x5678},
                                                          .response = 0x77};
REQUEST volatile struct limine_stack_size_request stack_request = {
    .head = {.id = ID(LIMINE_STACK_SIZE)}, .stack_size = 0x30000};
REQUEST volatile struct limine_paging_mode_request paging_request = {
    .head = {.id = ID(LIMINE_PAGING_MODE), .revision = 9},
    .mode = PAGING_MODE,
    .max_mode = LIMINE_PAGING_5LEVEL};
REQUEST volatile struct limine_entropy_request entropy_request = {
    .head = {.id = ID(LIMINE_ENTROPY)}, .value_count = 8};
#ifdef NO_MP
volatile struct limine_mp_request mp_request;
#else
REQUEST volatile struct limine_mp_request mp_request = {.head = {.id = ID(LIMINE_MP)},
                                                        .flags = REVISION == 6};
#endif
#ifdef ENTRY_REQUEST
void entry_by_request(void);
REQUEST struct limine_request_entry {
    struct limine_request head;
    void (*entry)(void);
} entry_request_placed = {.head = {.id = ID(LIMINE_ENTRY_POINT)}, .entry = entry_by_request};
#endif

/* ---- output
 * -------------------------------------------------------------------------------------- */
static void say_char(char c)
{
    for (unsigned patience = 100000; patience && !(in8(0x3fd) & 0x20); patience--)
        ;
    out8(0x3f8, (uint8_t)c);
}

static void say_number(uint64_t value, unsigned base)
{
    char digits[20];
    unsigned n = 0;
    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (n)
        say_char(digits[--n]);
}

void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    for (; *format; format++) {
        if (*format != '%') {
            say_char(*format);
            continue;
        }
        switch (*++format) {
        case 's':
            for (const char *s = va_arg(args, const char *); *s; s++)
                say_char(*s);
            break;
        case 'x':
            say_number(va_arg(args, uint64_t), 16);
            break;
        case 'u':
            say_number(va_arg(args, uint64_t), 10);
            break;
        }
    }
    va_end(args);
}

void check(bool holds, const char *what, uint64_t value)
{
    if (holds)
        return;
    failures++;
    say("KERNEL BAD: %s (0x%x)\r\n", what, value);
}

const void *response_of(volatile const struct limine_request *request, const char *name)
{
    const void *response = (const void *)(uintptr_t)request->response;
    check(response != NULL, name, 0);
    return response;
}

/* The compiler may ask for these whatever it is told. */
void *memset(void *to, int value, size_t bytes);
void *memset(void *to, int value, size_t bytes)
{
    for (volatile char *p = to; bytes; bytes--)
        *p++ = (char)value;
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    const char *s = from;
    for (volatile char *p = to; bytes; bytes--)
        *p++ = *s++;
    return to;
}

_Noreturn void kernel_main(void);
_Noreturn void kernel_main(void)
{
    out8(0x3f9, 0); /* no interrupts; the firmware has set the speed or nobody cares */
    say("\r\nKERNEL base revision %u, test kernel " NAME "\r\n", (uint64_t)REVISION);
    check(base_revision[1] == REVISION, "second word of the tag is the revision used",
          base_revision[1]);
    check(base_revision[2] == 0, "third word of the tag is 0", base_revision[2]);
    check(decoy_request.response == 0, "request outside the markers untouched",
          decoy_request.response);
    check(unknown_request.response == 0x77, "unknown request untouched", unknown_request.response);
    check_cpu(&entry_state, 0);
    check_lower_half();
    check_memory();
    check_image();
    check_answers();
    check_tables();
    check_interrupts();
    check_mp();
    if (failures)
        say("KERNEL BAD: %u checks failed\r\n", (uint64_t)failures);
    else
        say("KERNEL OK\r\n");
    out8(0xf4, failures ? 1 : 0); /* QEMU's exit status: 1 all is well, 3 not */
    for (;;)
        __asm__ volatile("hlt");
}
