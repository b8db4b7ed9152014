/* Registers, descriptor tables, page tables, interrupt controllers. */
#include "kernel.h"

#define PRESENT 1ull
#define WRITE   2ull
#define USER    4ull
#define LARGE   0x80ull
#define NX      (1ull << 63)
#define ADDRESS 0x000ffffffffff000ull

#define CR4_PAE  (1ull << 5)
#define CR4_LA57 (1ull << 12)

uint64_t hhdm(void)
{
    const struct limine_hhdm_response *r = (const void *)(uintptr_t)hhdm_request.response;
    return r ? r->offset : 0;
}

static uint64_t *root(void)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return (uint64_t *)(hhdm() + (cr3 & ADDRESS));
}

static uint64_t cr4(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}

unsigned levels(void)
{
    return cr4() & CR4_LA57 ? 5 : 4;
}

struct mapping walk(uint64_t va)
{
    struct mapping m = {.present = true, .writable = true, .executable = true, .user = true};
    uint64_t *table = root();
    for (int level = (int)levels() - 1; level >= 0; level--) {
        uint64_t span = 0x1000ull << (9 * level), entry = table[va / span % 512];
        if (!(entry & PRESENT))
            return (struct mapping){0};
        m.writable &= !!(entry & WRITE);
        m.executable &= !(entry & NX);
        m.user &= !!(entry & USER);
        if (level && !(entry & LARGE)) {
            table = (uint64_t *)(hhdm() + (entry & ADDRESS));
            continue;
        }
        unsigned high = level ? entry >> 12 & 1 : entry >> 7 & 1;
        m.pat = (unsigned)(high << 2 | (entry >> 3 & 3));
        m.pa = (entry & ADDRESS & ~(span - 1)) + va % span;
        m.bytes = span;
        return m;
    }
    return m;
}

int64_t type_of(uint64_t pa)
{
    const struct limine_memmap_response *r = (const void *)(uintptr_t)memmap_request.response;
    for (uint64_t i = 0; r && i < r->entry_count; i++) {
        const struct limine_memmap_entry *e = ((const struct limine_memmap_entry **)r->entries)[i];
        if (pa >= e->base && pa - e->base < e->length)
            return (int64_t)e->type;
    }
    return -1;
}

volatile uint32_t *device(uint64_t pa)
{
    static uint64_t pml4[512] __attribute__((aligned(4096))); /* with 5 levels */
    static uint64_t pdpt[512] __attribute__((aligned(4096)));
    static uint64_t pd[4][512] __attribute__((aligned(4096)));
    if (!pdpt[0]) {
        for (uint64_t i = 0; i < 2048; i++)
            pd[i / 512][i % 512] = i << 21 | LARGE | 0x18 | WRITE | PRESENT; /* uncached */
        for (int i = 0; i < 4; i++)
            pdpt[i] = walk((uintptr_t)pd[i]).pa | WRITE | PRESENT;
        if (levels() == 5)
            root()[0] = walk((uintptr_t)pml4).pa | WRITE | PRESENT;
        (levels() == 5 ? pml4 : root())[1] = walk((uintptr_t)pdpt).pa | WRITE | PRESENT;
    }
    return (volatile uint32_t *)(uintptr_t)((1ull << 39) + pa);
}

static uint64_t base_of(const uint8_t bytes[8])
{
    uint64_t base;
    __builtin_memcpy(&base, bytes, sizeof base);
    return base;
}

static void check_gdt(const struct entry_state *state)
{
    static const uint64_t wanted[7] = {0,
                                       0x00009b000000ffff,
                                       0x000093000000ffff,
                                       0x00cf9b000000ffff,
                                       0x00cf93000000ffff,
                                       0x00209b0000000000,
                                       0x0000930000000000};
    uint64_t base = base_of(state->gdt_base);
    check(state->gdt_limit >= 55, "GDT limit", state->gdt_limit);
    check(base >= hhdm() && type_of(base - hhdm()) == 5, "GDT in reclaimable memory", base);
    for (unsigned i = 0; i < 7; i++)
        check(((const uint64_t *)base)[i] == wanted[i], "GDT entry", ((const uint64_t *)base)[i]);
}

static void check_stack(const struct entry_state *state)
{
    uint64_t rsp = state->rsp;
    check((rsp & 15) == 8, "stack pointer as after a call", rsp);
    check(*(const uint64_t *)rsp == 0, "return address 0 on the stack", *(const uint64_t *)rsp);
    for (uint64_t at = rsp + 8 - 0x30000; at < rsp; at += 0x1000)
        check(walk(at).writable && type_of(walk(at).pa) == 5, "stack in reclaimable memory", at);
}

void check_cpu(const struct entry_state *state, uint64_t rdi)
{
    for (unsigned i = 0; i < 15; i++)
        check(state->gpr[i] == (i == 5 ? rdi : 0), "general register", i);
    check(state->cs == 0x28, "CS", state->cs);
    const uint16_t data[] = {state->ds, state->es, state->ss, state->fs, state->gs};
    for (unsigned i = 0; i < 5; i++)
        check(data[i] == 0x30, "data segment", data[i]);
    check(read_msr(0xc0000100) == 0, "FS base", read_msr(0xc0000100));
    check(read_msr(0xc0000101) == 0, "GS base", read_msr(0xc0000101));
    check(state->ldtr == 0, "LDTR", state->ldtr);

    const struct limine_paging_mode_response *paging = (const void *)paging_request.head.response;
    uint64_t cr0, efer = read_msr(0xc0000080), pat = read_msr(0x277);
    uint64_t wanted_cr4 = CR4_PAE | (paging && paging->mode == LIMINE_PAGING_5LEVEL ? CR4_LA57 : 0);
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    check((cr0 & 0x80010011) == 0x80010011, "CR0 has PE ET WP PG", cr0);
    check((cr4() & (CR4_PAE | CR4_LA57)) == wanted_cr4, "CR4 has PAE, and LA57 as answered", cr4());
    check((efer & 0xd00) == 0xd00, "EFER has LME LMA NXE", efer);
    check((pat & 0xffffffffffff) == 0x010500070406, "PAT", pat);
    check(!(state->rflags & 0x20600), "IF DF VM clear", state->rflags);
    if (REVISION >= 5) {
        check(cr0 == 0x80010011, "CR0, strict", cr0);
        check(cr4() == wanted_cr4, "CR4, strict", cr4());
        check(efer == 0xd00, "EFER, strict", efer);
        check(state->rflags == 2, "RFLAGS, strict", state->rflags);
        check(state->idt_limit == 0 && base_of(state->idt_base) == 0, "IDTR, strict",
              state->idt_limit);
        if (state->tr) /* no instruction clears TR: nothing a loader could do */
            say("KERNEL note: the firmware left TR %x\r\n", (uint64_t)state->tr);
    }
    check_gdt(state);
    check_stack(state);
}

void check_lower_half(void)
{
    for (unsigned i = 0; i < 256; i++)
        check(!(root()[i] & PRESENT), "lower half empty", i);
}

static uint32_t lapic_register(uint32_t offset)
{
    uint64_t base = read_msr(0x1b);
    return base & 1 << 10 ? (uint32_t)read_msr(0x800 + offset / 16)
                          : device(base & ADDRESS)[offset / 4];
}

void check_lapic(void)
{
    static const uint16_t lvt[] = {0x320, 0x350, 0x360, 0x370};
    check(read_msr(0x1b) & 1 << 11, "local APIC enabled", read_msr(0x1b));
    check((lapic_register(0xf0) & 0x1ff) == 0x1ff, "SVR", lapic_register(0xf0));
    check(lapic_register(0x80) == 0, "TPR", lapic_register(0x80));
    for (unsigned i = 0; i < 4; i++)
        check(lapic_register(lvt[i]) >> 16 & 1, "LVT entry masked", lvt[i]);
    check((lapic_register(0x360) >> 8 & 7) == 4, "LINT1 is the NMI input", lapic_register(0x360));
}

/* Where QEMU has them; all ones if it has none. */
static void check_iommus(void)
{
    uint32_t status = device(0xfed90000)[0x1c / 4], control = device(0xfed80000)[0x18 / 4];
    say("KERNEL VT-d status %x, AMD-Vi control %x\r\n", (uint64_t)status, (uint64_t)control);
    if (REVISION < 5)
        return; /* left as they are */
    check(status == 0xffffffff || !(status & 0x82000000), "VT-d off", status);
    check(control == 0xffffffff || !(control & 1), "AMD-Vi off", control);
}

void check_interrupts(void)
{
    check(in8(0x21) == 0xff && in8(0xa1) == 0xff, "PICs masked", in8(0x21));
    volatile uint32_t *io_apic = device(0xfec00000);
    io_apic[0] = 1;
    uint32_t last = io_apic[4] >> 16 & 0xff;
    for (uint32_t i = 0; i <= last; i++) {
        io_apic[0] = 0x10 + 2 * i;
        uint32_t entry = io_apic[4], delivery = entry >> 8 & 7;
        bool must = delivery <= 1 || (REVISION >= 5 && (delivery == 4 || delivery == 7));
        check(!must || entry >> 16 & 1, "I/O APIC entry masked", i);
    }
    if (REVISION >= 5)
        check_lapic();
    check_iommus();
}
