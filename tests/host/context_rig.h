/* What the tests of kernel/boot/context.c and requests.c share: a simulated loader, whose answers
 * lie in a piece of memory behind a direct map, and each of them can be wrong. */
#ifndef CONTEXT_RIG_H
#define CONTEXT_RIG_H

#include "test.h"

#include "boot/context.c" /* its state is static: each test starts with a fresh one */
#include "boot/requests.c"

#define HHDM 0xffff900000000000ull /* not the lowest one there is */

/* The memory in which the answers lie, and where the kernel says that it runs. */
#define LOADER_PA    0x200000ull
#define LOADER_BYTES 0x40000ull
#define CPUS         4u
#define IMAGE_PA     0x300000ull
#define IMAGE_BYTES  0x80000ull
#define IMAGE_VA     0xffffffff80000000ull

#define ENTRIES_ROOM (CONFIG_MEMORY_ENTRIES + 1)

/* The answers, so that a test can spoil them before the kernel looks. */
static struct {
    uint8_t *memory; /* exactly LOADER_BYTES, so that the sanitizer sees every step beyond */
    size_t used;
    uint64_t cr4;
    bool survives_faults;

    struct limine_hhdm_response *hhdm;
    struct limine_memmap_response *memmap;
    uint64_t *entries; /* addresses of the following */
    struct limine_memmap_entry *map;
    struct limine_executable_address_response *executable;
    struct limine_bootloader_info_response *info;
    struct limine_executable_cmdline_response *cmdline;
    struct limine_executable_file_response *file;
    struct limine_firmware_type_response *firmware;
    struct limine_framebuffer_response *framebuffers;
    uint64_t *framebuffer_list;
    struct limine_framebuffer *framebuffer; /* two of them */
    struct limine_rsdp_response *rsdp;
    struct limine_smbios_response *smbios;
    struct limine_efi_system_table_response *efi;
    struct limine_efi_memmap_response *efi_memmap;
    struct limine_date_at_boot_response *date;
    struct limine_bootloader_performance_response *performance;
    struct limine_tsc_frequency_response *tsc;
    struct limine_paging_mode_response *paging;
    struct limine_entropy_response *entropy;
    struct limine_mp_response *mp;
    struct limine_mp_info *cpus;
    uint64_t *cpu_list;
} loader;

static char log_text[65536];
static char last_words[512];
static jmp_buf end_of_kernel;
static uint8_t arena[CONFIG_EARLY_BYTES] __attribute__((aligned(4096)));

/* ---- what the kernel's other files do ------------------------------------------------------- */

void kprintf(const char *format, ...)
{
    size_t used = strlen(log_text);
    va_list args;
    va_start(args, format);
    vsnprintf(log_text + used, sizeof log_text - used, format, args);
    va_end(args);
}

_Noreturn static void end(const char *format, va_list args)
{
    vsnprintf(last_words, sizeof last_words, format, args);
    longjmp(end_of_kernel, 1);
}

_Noreturn void panic(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    end(format, args);
}

_Noreturn void port_panic(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    end(format, args);
}

vaddr_t layout_image_start(void)
{
    return VA(IMAGE_VA);
}

uint64_t layout_image_bytes(void)
{
    return IMAGE_BYTES;
}

struct cpu_control cpu_control(void)
{
    return (struct cpu_control){.cr4 = loader.cr4};
}

const struct cpu_info *cpu_info(void)
{
    static const struct cpu_info info = {.phys_bits = 40};
    return &info;
}

/* On the machine an address that the loader did not map faults, and ends in words. */
const void *memory_of_loader(uint64_t address)
{
    uint64_t offset = address - HHDM - LOADER_PA;
    if (offset >= LOADER_BYTES) {
        if (!loader.survives_faults)
            fail_msg("an address was followed that is not mapped: 0x%lx", address);
        snprintf(last_words, sizeof last_words, "page fault at 0x%lx", address);
        longjmp(end_of_kernel, 1);
    }
    return loader.memory + offset;
}

/* ---- the loader ----------------------------------------------------------------------------- */

static inline void *place(const void *from, size_t bytes)
{
    uint8_t *at = loader.memory + loader.used;
    assert_true(loader.used + bytes <= LOADER_BYTES);
    if (from)
        memcpy(at, from, bytes);
    loader.used += (bytes + 7) & ~7ul;
    return at;
}

/* Where the kernel finds it. */
static inline uint64_t address_of(const void *p)
{
    return (uint64_t)((const uint8_t *)p - loader.memory) + LOADER_PA + HHDM;
}

static inline uint64_t place_string(const char *text)
{
    return address_of(place(text, strlen(text) + 1));
}

static inline volatile uint64_t *slot(enum request request)
{
    return request == REQUEST_PAGING_MODE ? &paging_mode.head.response
           : request == REQUEST_ENTROPY   ? &entropy.head.response
           : request == REQUEST_MP        ? &mp.head.response
                                          : &plain[request].response;
}

#define ANSWER(request, type, ...) answer(request, &(struct type){__VA_ARGS__}, sizeof(struct type))

static inline void *answer(enum request request, const void *from, size_t bytes)
{
    void *p = place(from, bytes);
    *slot(request) = address_of(p);
    return p;
}

static const struct limine_memmap_entry good_map[] = {
    {0x1000, 0x9e000, MEM_USABLE},
    {0x100000, 0x100000, MEM_USABLE},
    {LOADER_PA, LOADER_BYTES, MEM_BOOTLOADER_RECLAIMABLE},
    {IMAGE_PA, IMAGE_BYTES, MEM_EXECUTABLE_AND_MODULES},
    {0x400000, 0x7c00000, MEM_USABLE},
    {0x8000000, 0x10000, MEM_ACPI_RECLAIMABLE},
    {0xc0000000, 0x300000, MEM_FRAMEBUFFER},
    {0xfec00000, 0x1000, MEM_RESERVED},
};
#define GOOD COUNT(good_map)

static const struct limine_framebuffer good_framebuffer = {
    .address = HHDM + 0xc0000000,
    .width = 1024,
    .height = 768,
    .pitch = 4096,
    .bpp = 32,
    .memory_model = LIMINE_MEMORY_MODEL_RGB,
    .red_mask_size = 8,
    .red_mask_shift = 16,
    .green_mask_size = 8,
    .green_mask_shift = 8,
    .blue_mask_size = 8,
    .blue_mask_shift = 0,
};

static inline void set_map(const struct limine_memmap_entry *map, size_t n)
{
    memcpy(loader.map, map, n * sizeof *map);
    loader.memmap->entry_count = n;
}

static inline void answer_needed(void)
{
    loader.hhdm = ANSWER(REQUEST_HHDM, limine_hhdm_response, .offset = HHDM);
    loader.map = place(NULL, ENTRIES_ROOM * sizeof *loader.map);
    loader.entries = place(NULL, ENTRIES_ROOM * sizeof *loader.entries);
    for (size_t i = 0; i < ENTRIES_ROOM; i++)
        loader.entries[i] = address_of(&loader.map[i]);
    loader.memmap =
        ANSWER(REQUEST_MEMMAP, limine_memmap_response, .entries = address_of(loader.entries));
    set_map(good_map, GOOD);
    loader.executable = ANSWER(REQUEST_EXECUTABLE_ADDRESS, limine_executable_address_response,
                               .physical_base = IMAGE_PA, .virtual_base = IMAGE_VA);
}

static inline void answer_framebuffer(void)
{
    loader.framebuffer = place(NULL, 2 * sizeof *loader.framebuffer);
    loader.framebuffer[0] = loader.framebuffer[1] = good_framebuffer;
    loader.framebuffer[1].width = 800;
    loader.framebuffer_list =
        place((uint64_t[]){address_of(&loader.framebuffer[0]), address_of(&loader.framebuffer[1])},
              2 * sizeof(uint64_t));
    loader.framebuffers =
        ANSWER(REQUEST_FRAMEBUFFER, limine_framebuffer_response, .framebuffer_count = 2,
               .framebuffers = address_of(loader.framebuffer_list));
}

static inline void answer_firmware(void)
{
    static const uint64_t efi_descriptors[3 * 6] = {7, 0x1000, 0, 0x9e, 0xf, 0, 7};
    loader.firmware = ANSWER(REQUEST_FIRMWARE_TYPE, limine_firmware_type_response,
                             .firmware_type = LIMINE_FIRMWARE_EFI64);
    loader.rsdp = ANSWER(REQUEST_RSDP, limine_rsdp_response, .address = 0x8000014);
    loader.smbios = ANSWER(REQUEST_SMBIOS, limine_smbios_response, .entry_32 = 0xf0000,
                           .entry_64 = HHDM + 0xf0020);
    loader.efi = ANSWER(REQUEST_EFI_SYSTEM_TABLE, limine_efi_system_table_response, 0, 0x7fed018);
    loader.efi_memmap =
        ANSWER(REQUEST_EFI_MEMMAP, limine_efi_memmap_response,
               .memmap = address_of(place(efi_descriptors, sizeof efi_descriptors)),
               .memmap_size = sizeof efi_descriptors, .desc_size = 48, .desc_version = 1);
}

static inline void answer_rest(void)
{
    loader.info = ANSWER(REQUEST_BOOTLOADER_INFO, limine_bootloader_info_response,
                         .name = place_string("Quicklime"), .version = place_string("0.1.0"));
    loader.cmdline = ANSWER(REQUEST_CMDLINE, limine_executable_cmdline_response,
                            .cmdline = place_string("exit=debug report=json"));
    loader.date = ANSWER(REQUEST_DATE_AT_BOOT, limine_date_at_boot_response, 0, 1700000000);
    loader.performance = ANSWER(REQUEST_PERFORMANCE, limine_bootloader_performance_response, 0,
                                .init_usec = 2000, .exec_usec = 5000);
    loader.tsc = ANSWER(REQUEST_TSC_FREQUENCY, limine_tsc_frequency_response, 0, 2500000000);
    loader.paging = ANSWER(REQUEST_PAGING_MODE, limine_paging_mode_response, 0);
    static const uint64_t values[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    loader.entropy = ANSWER(REQUEST_ENTROPY, limine_entropy_response, .value_count = 8,
                            .values = address_of(place(values, sizeof values)));
}

/* CPUs 0x10, 0x11, ...; the first is the one that boots. */
static inline void answer_cpus(void)
{
    loader.cpus = place(NULL, CPUS * sizeof *loader.cpus);
    loader.cpu_list = place(NULL, CPUS * sizeof *loader.cpu_list);
    for (uint32_t i = 0; i < CPUS; i++) {
        loader.cpus[i] = (struct limine_mp_info){.processor_id = i, .lapic_id = 0x10 + i};
        loader.cpu_list[i] = address_of(&loader.cpus[i]);
    }
    loader.mp = ANSWER(REQUEST_MP, limine_mp_response, .bsp_lapic_id = 0x10, .cpu_count = CPUS,
                       .cpus = address_of(loader.cpu_list));
}

static inline int release(void **state)
{
    (void)state;
    free(loader.memory);
    loader.memory = NULL;
    return 0;
}

/* Every answer, each of them good. */
static inline int start(void **state)
{
    release(state);
    memset(&loader, 0, sizeof loader);
    loader.memory = calloc(1, LOADER_BYTES);
    assert_non_null(loader.memory);
    for (int request = 0; request < REQUESTS; request++)
        *slot((enum request)request) = 0;
    base_revision[1] = BASE_REVISION;
    base_revision[2] = 0;
    answer_needed();
    answer_framebuffer();
    answer_firmware();
    answer_rest();
    answer_cpus();
    return 0;
}

/* Let the kernel read. False: it ended in last_words. */
static inline bool boots(void)
{
    context = (struct boot_context){0};
    complaints = 0;
    log_text[0] = last_words[0] = '\0';
    memset(arena, 0, sizeof arena);
    early_init(arena, sizeof arena);
    bool ended = setjmp(end_of_kernel) != 0;
    if (!ended)
        boot_context_read();
    (void)early_close();
    return !ended;
}

static inline void assert_quiet(void)
{
    if (!boots())
        fail_msg("ended: %s", last_words);
    assert_string_equal(log_text, "");
}

/* It boots, and the log has this line and no other. */
static inline void assert_complaint(const char *line)
{
    char expected[256];
    if (!boots())
        fail_msg("ended: %s", last_words);
    snprintf(expected, sizeof expected, "boot context: %s\n", line);
    assert_string_equal(log_text, expected);
}

static inline void assert_ends(const char *words)
{
    assert_false(boots());
    if (!strstr(last_words, words))
        fail_msg("\"%s\" is not in \"%s\"", words, last_words);
}

#define TEST(name) cmocka_unit_test_setup(name, start)

#endif
