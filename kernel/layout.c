/* Owns: the boot CPU's stacks, and the knowledge of where the linker put what.
 * Relies on: kernel.ld; the boot context for physical addresses.
 * Stage: any; layout_describe from "boot context" on. */
#include "layout.h"

#include "boot/context.h"
#include "mm/vmm.h"

extern const uint8_t image_start[], heap_text_start[], heap_text_end[], text_end[], rodata_start[],
    rodata_end[], data_start[], data_end[], image_end[];

_Static_assert(CONFIG_BOOT_STACK_BYTES % LAYOUT_PAGE == 0, "the boot stack is whole pages");
_Static_assert(CONFIG_IST_STACK_BYTES % LAYOUT_PAGE == 0, "interrupt stacks are whole pages");

/* entry.S starts at the top of the first. */
extern struct boot_stack_memory {
    uint8_t guard[LAYOUT_PAGE];
    uint8_t bytes[CONFIG_BOOT_STACK_BYTES];
    struct {
        uint8_t guard[LAYOUT_PAGE];
        uint8_t bytes[CONFIG_IST_STACK_BYTES];
    } ist[IST_STACKS];
} boot_stack_memory;
__attribute__((section(".bss.stacks"),
               aligned(LAYOUT_PAGE))) struct boot_stack_memory boot_stack_memory;
_Static_assert(sizeof boot_stack_memory == LAYOUT_BOOT_STACKS_BYTES, "layout.h");
_Static_assert(offsetof(struct boot_stack_memory, bytes) == LAYOUT_PAGE, "entry.S");

#define BASE(array)                  \
    {                                \
        (uint64_t)(uintptr_t)(array) \
    } /* va_of, but constant */
#define IST(i)                                                       \
    {                                                                \
        BASE(boot_stack_memory.ist[i].bytes), CONFIG_IST_STACK_BYTES \
    }
const struct cpu_stacks boot_stacks = {{
    {BASE(boot_stack_memory.bytes), CONFIG_BOOT_STACK_BYTES},
    IST(IST_DOUBLE_FAULT),
    IST(IST_NMI),
    IST(IST_MACHINE_CHECK),
}};

/* The guard pages under them: ascending, as the mapper asks. */
static const char *const guard_names[STACKS] = {
    "boot stack guard",
    "double fault stack guard",
    "NMI stack guard",
    "machine check stack guard",
};
static struct image_part guards[STACKS];

uint64_t layout_stack_bytes(unsigned stack)
{
    return boot_stacks.stack[stack].bytes;
}

const char *layout_stack_name(unsigned stack)
{
    static const char *const names[STACKS] = {"stack", "double fault stack", "NMI stack",
                                              "machine check stack"};
    return names[stack];
}

vaddr_t layout_stack_top(const struct cpu_stacks *stacks, unsigned stack)
{
    return va_add(stacks->stack[stack].base, stacks->stack[stack].bytes);
}

bool layout_in_stack(const struct cpu_stacks *stacks, uint64_t address, uint64_t bytes)
{
    for (unsigned i = 0; i < STACKS; i++) {
        uint64_t base = va_number(stacks->stack[i].base);
        if (address >= base && range_fits(address - base, bytes, stacks->stack[i].bytes))
            return true;
    }
    return false;
}

bool layout_in_text(uint64_t address)
{
    return address >= va_of(image_start).v && address < va_of(text_end).v;
}

bool layout_in_heap_text(uint64_t address)
{
    return address >= va_of(heap_text_start).v && address < va_of(heap_text_end).v;
}

vaddr_t layout_image_start(void)
{
    return va_of(image_start);
}

uint64_t layout_image_bytes(void)
{
    return va_diff(va_of(image_start), va_of(image_end));
}

void layout_describe(struct mapper_input *out)
{
    const struct boot_context *boot = boot_context();
    for (unsigned i = 0; i < STACKS; i++) {
        vaddr_t stack = boot_stacks.stack[i].base;
        guards[i] = (struct image_part){va_add(stack, -(uint64_t)LAYOUT_PAGE), stack};
    }

    *out = (struct mapper_input){
        .text = {va_of(image_start), va_of(text_end)},
        .rodata = {va_of(rodata_start), va_of(rodata_end)},
        .data = {va_of(data_start), va_of(data_end)},
        .guards = guards,
        .guard_names = guard_names,
        .nguards = STACKS,
        .image_va = boot->image_va,
        .image_pa = boot->image_pa,
        .windows = VA(VMM_WINDOW_BASE),
        .windows_end = VA(VMM_DEVICE_END),
    };
}
