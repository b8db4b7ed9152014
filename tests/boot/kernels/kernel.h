/* A small kernel for the Limine protocol that distrusts its loader: it asks for everything, checks
 * every answer and the state of the machine, says on the serial line what is wrong, and ends with
 * "KERNEL OK" or "KERNEL BAD: <count>". Built once per base revision (-DREVISION=n) and kind of
 * ELF. */
#ifndef QL_TEST_KERNEL_H
#define QL_TEST_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/limine.h"

/* Registers as entry.S found them. */
struct entry_state {
    uint64_t gpr[15]; /* rax rbx rcx rdx rsi rdi rbp r8 .. r15 */
    uint64_t rsp, rflags;
    uint16_t cs, ds, es, ss, fs, gs, tr, ldtr;
    uint16_t gdt_limit;
    uint8_t gdt_base[8]; /* unaligned, behind the limit */
    uint8_t pad1[6];
    uint16_t idt_limit;
    uint8_t idt_base[8];
    uint8_t pad2[14];
    uint8_t by_request; /* entered through the entry point request */
};
extern struct entry_state entry_state, ap_state;
_Static_assert(offsetof(struct entry_state, gdt_limit) == 152, "entry.S");
_Static_assert(offsetof(struct entry_state, idt_limit) == 168, "entry.S");
_Static_assert(offsetof(struct entry_state, by_request) == 192, "entry.S");

/* Requests, in kernel.c. */
extern volatile uint64_t base_revision[3];
extern volatile struct limine_request memmap_request, hhdm_request, framebuffer_request,
    info_request, cmdline_request, firmware_request, file_request, address_request, rsdp_request,
    smbios_request, system_table_request, efi_memmap_request, date_request, performance_request,
    tsc_request;
extern volatile struct limine_stack_size_request stack_request;
extern volatile struct limine_paging_mode_request paging_request;
extern volatile struct limine_entropy_request entropy_request;
extern volatile struct limine_mp_request mp_request;

/* Say something; %s %x (64-bit hexadecimal) %u. */
void say(const char *format, ...);

/* Count and name what does not hold; values are shown. */
void check(bool holds, const char *what, uint64_t value);
extern unsigned failures;

/* The response as a pointer, NULL (and a failure) if there is none. */
const void *response_of(volatile const struct limine_request *request, const char *name);

/* ---- walk.c: the page tables we run on ------------------------------------------------------- */
struct mapping {
    bool present, writable, executable, user;
    unsigned pat;   /* index into the PAT */
    uint64_t pa;    /* of the address asked for */
    uint64_t bytes; /* of the page */
};
struct mapping walk(uint64_t va);
unsigned levels(void);
uint64_t hhdm(void);
/* The memory map type of a physical address, -1 if no entry has it. */
int64_t type_of(uint64_t pa);
/* Map device registers below 4 GiB at their physical address plus 512 GiB. */
volatile uint32_t *device(uint64_t pa);

/* ---- the checks
 * ---------------------------------------------------------------------------------- */
void check_cpu(const struct entry_state *state, uint64_t rdi);
void check_lower_half(void);
void check_lapic(void);
void check_mp(void);
void check_memory(void);
void check_image(void);
void check_answers(void);
void check_tables(void);
void check_interrupts(void);

static inline uint64_t read_msr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

#endif
