/* The Limine boot protocol for x86-64 UEFI, base revisions 3 to 6: what loader and kernel exchange.
 * Structure and member names are the public ones, so a kernel written for the protocol reads the
 * same. Every address is a plain uint64_t here: the loader writes numbers, the kernel checks them
 * before they become pointers. source: Limine boot protocol specification. */
#ifndef QL_BOOT_LIMINE_H
#define QL_BOOT_LIMINE_H

#include <stdint.h>

#define LIMINE_REVISION_MIN 3 /* what our loader can answer */
#define LIMINE_REVISION_MAX 6

/* "Finding requests": 64-bit words, 8-byte aligned, anywhere in the loaded image. */
#define LIMINE_START_MARKER \
    0xf6b8f4b39de7d1aeull, 0xfab91a6940fcb9cfull, 0x785c6ed015d3e316ull, 0x181e920a7852b9d9ull
#define LIMINE_END_MARKER    0xadc0e0531bb10d03ull, 0x9572709f31764c62ull
#define LIMINE_BASE_REVISION 0xf9562b2d5c95a6c8ull, 0x6a7b384944536bdcull /* then the number */
#define LIMINE_COMMON_MAGIC  0xc7b1dd30df4c8b88ull, 0x0a82e883a194f07bull

/* The feature's own two words of the request id. */
#define LIMINE_BOOTLOADER_INFO        0xf55038d8e2a1202full, 0x279426fcf5f59740ull
#define LIMINE_EXECUTABLE_CMDLINE     0x4b161536e598651eull, 0xb390ad4a2f1f303aull
#define LIMINE_FIRMWARE_TYPE          0x8c2f75d90bef28a8ull, 0x7045a4688eac00c3ull
#define LIMINE_STACK_SIZE             0x224ef0460a8e8926ull, 0xe1cb0fc25f46ea3dull
#define LIMINE_HHDM                   0x48dcf1cb8ad2b852ull, 0x63984e959a98244bull
#define LIMINE_FRAMEBUFFER            0x9d5827dcd881dd75ull, 0xa3148604f6fab11bull
#define LIMINE_PAGING_MODE            0x95c1a0edab0944cbull, 0xa4e5cb3842f7488aull
#define LIMINE_MP                     0x95a67b819a1b857eull, 0xa0b61b723b6a73e0ull
#define LIMINE_MEMMAP                 0x67cf3d9d378a806full, 0xe304acdfc50c3c62ull
#define LIMINE_ENTRY_POINT            0x13d86c035a1cd3e1ull, 0x2b0caa89d8f3026aull
#define LIMINE_EXECUTABLE_FILE        0xad97e90e83f1ed67ull, 0x31eb5d1c5ff23b69ull
#define LIMINE_MODULE                 0x3e7e279702be32afull, 0xca1c4f3bd1280ceeull
#define LIMINE_RSDP                   0xc5e77b6b397e7b43ull, 0x27637845accdcf3cull
#define LIMINE_SMBIOS                 0x9e9046f11e095391ull, 0xaa4a520fefbde5eeull
#define LIMINE_EFI_SYSTEM_TABLE       0x5ceba5163eaaf6d6ull, 0x0a6981610cf65fccull
#define LIMINE_EFI_MEMMAP             0x7df62a431d6872d5ull, 0xa4fcdfb3e57306c8ull
#define LIMINE_DATE_AT_BOOT           0x502746e184c088aaull, 0xfbc5ec83e6327893ull
#define LIMINE_EXECUTABLE_ADDRESS     0x71ba76863cc55f63ull, 0xb2644a48c516a487ull
#define LIMINE_BOOTLOADER_PERFORMANCE 0x6b50ad9bf36d13adull, 0xdc4c7e88fc759e17ull
#define LIMINE_TSC_FREQUENCY          0x10f2ee1d87d195e4ull, 0xf747a2b78f6ddb31ull
#define LIMINE_KEEP_IOMMU             0x8ebaabe51f490179ull, 0x2aa86a59ffb4ab0full
#define LIMINE_ENTROPY                0x65ea80255d5682c5ull, 0x9117240723f493ebull

/* Head of every request; the kernel's own members follow. */
struct limine_request {
    uint64_t id[4];
    uint64_t revision;
    uint64_t response; /* written by the loader; untouched if the feature is unknown or failed */
};

struct limine_stack_size_request {
    struct limine_request head;
    uint64_t stack_size;
};

struct limine_entry_point_request {
    struct limine_request head;
    uint64_t entry;
};

struct limine_paging_mode_request {
    struct limine_request head;
    uint64_t mode;
    uint64_t max_mode; /* request revision 1 */
    uint64_t min_mode;
};

struct limine_entropy_request {
    struct limine_request head;
    uint64_t value_count;
};

/* Responses. */
struct limine_response {
    uint64_t revision;
};

struct limine_bootloader_info_response {
    uint64_t revision;
    uint64_t name; /* char * */
    uint64_t version;
};

struct limine_executable_cmdline_response {
    uint64_t revision;
    uint64_t cmdline;
};

enum limine_firmware { LIMINE_FIRMWARE_BIOS, LIMINE_FIRMWARE_EFI32, LIMINE_FIRMWARE_EFI64 };
struct limine_firmware_type_response {
    uint64_t revision;
    uint64_t firmware_type;
};

struct limine_hhdm_response {
    uint64_t revision;
    uint64_t offset;
};

#define LIMINE_MEMORY_MODEL_RGB 1

struct limine_video_mode {
    uint64_t pitch, width, height;
    uint16_t bpp;
    uint8_t memory_model;
    uint8_t red_mask_size, red_mask_shift;
    uint8_t green_mask_size, green_mask_shift;
    uint8_t blue_mask_size, blue_mask_shift;
};

struct limine_framebuffer {
    uint64_t address;
    uint64_t width, height, pitch;
    uint16_t bpp;
    uint8_t memory_model;
    uint8_t red_mask_size, red_mask_shift;
    uint8_t green_mask_size, green_mask_shift;
    uint8_t blue_mask_size, blue_mask_shift;
    uint8_t unused[7];
    uint64_t edid_size;
    uint64_t edid;
    uint64_t mode_count; /* response revision 1 */
    uint64_t modes;      /* struct limine_video_mode ** */
};

struct limine_framebuffer_response {
    uint64_t revision;
    uint64_t framebuffer_count;
    uint64_t framebuffers; /* struct limine_framebuffer ** */
};

enum limine_paging { LIMINE_PAGING_4LEVEL, LIMINE_PAGING_5LEVEL };
struct limine_paging_mode_response {
    uint64_t revision;
    uint64_t mode;
};

struct limine_memmap_entry {
    uint64_t base;
    uint64_t length;
    uint64_t type; /* enum mem_type of mm/region.h has the same numbers */
};

struct limine_memmap_response {
    uint64_t revision;
    uint64_t entry_count;
    uint64_t entries; /* struct limine_memmap_entry ** */
};

struct limine_uuid {
    uint32_t a;
    uint16_t b, c;
    uint8_t d[8];
};

struct limine_file {
    uint64_t revision;
    uint64_t address; /* 4 KiB aligned */
    uint64_t size;
    uint64_t path; /* char * */
    uint64_t string;
    uint32_t media_type;
    uint32_t unused;
    uint8_t tftp_ipv4[4];
    uint32_t tftp_port;
    uint32_t partition_index;
    uint32_t mbr_disk_id;
    struct limine_uuid gpt_disk_uuid, gpt_part_uuid, part_uuid;
};

struct limine_executable_file_response {
    uint64_t revision;
    uint64_t executable_file; /* struct limine_file * */
};

struct limine_rsdp_response {
    uint64_t revision;
    uint64_t address;
};

struct limine_smbios_response {
    uint64_t revision;
    uint64_t entry_32;
    uint64_t entry_64;
};

struct limine_efi_system_table_response {
    uint64_t revision;
    uint64_t address;
};

struct limine_efi_memmap_response {
    uint64_t revision;
    uint64_t memmap;
    uint64_t memmap_size;
    uint64_t desc_size;
    uint64_t desc_version;
};

struct limine_date_at_boot_response {
    uint64_t revision;
    int64_t timestamp; /* UNIX seconds */
};

struct limine_executable_address_response {
    uint64_t revision;
    uint64_t physical_base;
    uint64_t virtual_base;
};

struct limine_bootloader_performance_response {
    uint64_t revision;
    uint64_t reset_usec; /* when the CPU was reset: 0, the other two count from here by the TSC */
    uint64_t init_usec;  /* the loader's first instruction */
    uint64_t exec_usec;  /* the hand-over to the kernel */
};

#define LIMINE_MP_X2APIC 1u /* request: may use x2APIC; response: x2APIC is on */

struct limine_mp_request {
    struct limine_request head;
    uint64_t flags;
};

/* One CPU. A CPU is parked until a non-zero goto_address is stored (atomically): it then calls that
 * function with the address of its own structure in RDI. */
struct limine_mp_info {
    uint32_t processor_id; /* ACPI UID */
    uint32_t lapic_id;
    uint64_t reserved; /* the loader's own */
    uint64_t goto_address;
    uint64_t extra_argument;
};

struct limine_mp_response {
    uint64_t revision;
    uint32_t flags;
    uint32_t bsp_lapic_id;
    uint64_t cpu_count;
    uint64_t cpus; /* struct limine_mp_info ** */
};

struct limine_tsc_frequency_response {
    uint64_t revision;
    uint64_t frequency; /* Hz */
};

struct limine_entropy_response {
    uint64_t revision;
    uint64_t value_count;
    uint64_t values; /* uint64_t * */
};

_Static_assert(sizeof(struct limine_request) == 48, "request head");
_Static_assert(sizeof(struct limine_framebuffer) == 80, "framebuffer, revision 1");
_Static_assert(sizeof(struct limine_file) == 112, "file");
_Static_assert(sizeof(struct limine_memmap_entry) == 24, "memory map entry");
_Static_assert(sizeof(struct limine_mp_info) == 32, "MP info");

#endif
