/* Owns: the stacks, and the knowledge of where the linker put what.
 * Relies on: kernel.ld; the boot context for physical addresses and the framebuffer.
 * Stage: any; layout_describe from "boot context" on. */
#include "layout.h"

#include "boot/context.h"

extern const uint8_t image_start[], text_end[], rodata_start[], rodata_end[], data_start[],
    data_end[], image_end[];

__attribute__((section(".bss.stacks"), aligned(LAYOUT_PAGE))) struct cpu_stacks boot_stacks;

_Static_assert(CONFIG_BOOT_STACK_BYTES % LAYOUT_PAGE == 0, "the boot stack is whole pages");
_Static_assert(CONFIG_IST_STACK_BYTES % LAYOUT_PAGE == 0, "interrupt stacks are whole pages");

/* Guard pages in the order in which struct cpu_stacks lays them out: ascending, as the mapper
 * asks. */
static const char *const guard_names[] = {
    "boot stack guard",
    "double fault stack guard",
    "NMI stack guard",
    "machine check stack guard",
};
#define GUARDS (1 + IST_STACKS)
_Static_assert(sizeof guard_names / sizeof guard_names[0] == GUARDS, "one name per guard");

static struct image_part guards[GUARDS];

static struct image_part page_at(const uint8_t *start)
{
    return (struct image_part){va_of(start), va_of(start + LAYOUT_PAGE)};
}

vaddr_t layout_ist_top(const struct cpu_stacks *stacks, enum ist_stack stack)
{
    return va_of(stacks->ist[stack].bytes + CONFIG_IST_STACK_BYTES);
}

bool layout_in_stack(const struct cpu_stacks *stacks, uint64_t address, uint64_t bytes)
{
    uint64_t boot = va_of(stacks->boot).v;
    if (address >= boot && range_fits(address - boot, bytes, CONFIG_BOOT_STACK_BYTES))
        return true;
    for (unsigned i = 0; i < IST_STACKS; i++) {
        uint64_t base = va_of(stacks->ist[i].bytes).v;
        if (address >= base && range_fits(address - base, bytes, CONFIG_IST_STACK_BYTES))
            return true;
    }
    return false;
}

bool layout_in_text(uint64_t address)
{
    return address >= va_of(image_start).v && address < va_of(text_end).v;
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
    guards[0] = page_at(boot_stacks.guard);
    for (unsigned i = 0; i < IST_STACKS; i++)
        guards[1 + i] = page_at(boot_stacks.ist[i].guard);

    *out = (struct mapper_input){
        .text = {va_of(image_start), va_of(text_end)},
        .rodata = {va_of(rodata_start), va_of(rodata_end)},
        .data = {va_of(data_start), va_of(data_end)},
        .guards = guards,
        .guard_names = guard_names,
        .nguards = GUARDS,
        .image_va = boot->image_va,
        .image_pa = boot->image_pa,
        .have_framebuffer = boot->have_framebuffer,
        .framebuffer_pa = boot->framebuffer.base,
        .framebuffer_bytes = boot->framebuffer.pitch * boot->framebuffer.height,
    };
}
