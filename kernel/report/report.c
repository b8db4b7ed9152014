/* Owns: the report for people.
 * Relies on: print, the statistics of each layer. Stage: after the memory take-over. */
#include "report/report.h"

#include "boot/context.h"
#include "boot/memory.h"
#include "check/selfcheck.h"
#include "console/print.h"
#include "console/style.h"
#include "cpu/clock.h"
#include "cpu/cpu.h"
#include "firmware/runtime.h"
#include "layout.h"
#include "mm/pmm.h"
#include "mm/string.h"
#include "report/facts.h"
#include "report/mapview.h"
#include "report/report_parts.h"
#include "report/units.h"
#include "version.h"

#define WIDTH 76 /* columns of a rule; with the indent inside 80 */

/* A line that is put together piece by piece and printed in one go. 4 bytes a column are enough for
 * UTF-8, the rest is for colours; what is too much is cut off. */
struct line {
    size_t used;
    char text[WIDTH * 4 + 256];
};

static void line_add(struct line *line, const char *format, ...) PRINTF_LIKE(2, 3);
static void line_add(struct line *line, const char *format, ...)
{
    size_t room = sizeof line->text - line->used;
    va_list args;

    va_start(args, format);
    size_t n = kvsnprintf(line->text + line->used, room, format, args);
    va_end(args);
    line->used += n < room ? n : room - 1;
}

static void line_print(const struct line *line)
{
    kprintf("%s\n", line->text);
}

/* ---- headings and rows ---------------------------------------------------------------------- */

void report_heading(const char *title, const char *remark)
{
    struct line line = {0};
    size_t used = 4 + strlen(title) + (*remark ? strlen(remark) + 1 : 0);

    line_add(&line,
             "\n" REPORT_INDENT STYLE_DIM "── " STYLE_PLAIN STYLE_STRONG
             "%s " STYLE_PLAIN STYLE_DIM,
             title);
    for (; used < WIDTH; used++)
        line_add(&line, "─");
    line_add(&line, STYLE_PLAIN);
    if (*remark)
        line_add(&line, " %s", remark);
    line_print(&line);
}

void report_row(const char *label, const char *format, ...)
{
    struct line line = {0};
    char text[160];
    va_list args;

    va_start(args, format);
    kvsnprintf(text, sizeof text, format, args);
    va_end(args);
    line_add(&line, REPORT_INDENT STYLE_DIM "%-12s" STYLE_PLAIN "  %s", label, text);
    line_print(&line);
}

/* ---- the machine ---------------------------------------------------------------------------- */

static void machine_firmware(void)
{
    const struct runtime_firmware *firmware = runtime_firmware();
    char uefi[16];

    facts_uefi_version(uefi, sizeof uefi);
    if (firmware->uefi_major)
        report_row("firmware", "%s, revision 0x%x, UEFI %s",
                   firmware->vendor[0] ? firmware->vendor : "vendor unknown",
                   (unsigned)firmware->revision, uefi);
    else
        report_row("firmware", "%s", facts_firmware_type());
}

static void machine_framebuffer(void)
{
    const struct boot_context *context = boot_context();
    const struct boot_framebuffer *fb = &context->framebuffer;

    if (context->have_framebuffer)
        report_row("framebuffer", "%lu × %lu, 32 bits a pixel, %lu bytes a row, at 0x%lx",
                   (unsigned long)fb->width, (unsigned long)fb->height, (unsigned long)fb->pitch,
                   pa_number(fb->base));
    else
        report_row("framebuffer", "none");
}

static void machine_boot_time(void)
{
    struct facts_boot boot = facts_boot();
    char loader[UNITS_MAX], kernel[UNITS_MAX];

    units_time(loader, boot.loader_usec);
    units_time(kernel, boot.kernel_usec);
    report_row("boot", "%s in the loader, %s in the kernel",
               boot.loader_usec ? loader : "unknown time",
               boot.kernel_usec ? kernel : "unknown time");
}

static void print_machine(void)
{
    const struct boot_context *context = boot_context();
    const struct cpu_info *cpu = cpu_info();
    char protections[64], size[UNITS_MAX];

    cpu_protections(protections, sizeof protections);
    machine_firmware();
    report_row("loader", "%s %s, Limine protocol, base revision %lu", context->loader_name,
               context->loader_version, (unsigned long)context->base_revision);
    report_row("processor", "%s", cpu->name);
    report_processors();
    report_row("clock", "%lu.%03lu MHz, by %s", cpu_tsc_hz() / 1000000, cpu_tsc_hz() / 1000 % 1000,
               clock_source_name());
    report_row("protection", "%s", protections[0] ? protections : "none");
    machine_framebuffer();
    report_row("kernel", "%s at virtual 0x%lx, physical 0x%lx",
               units_size(size, layout_image_bytes()), va_number(context->image_va),
               pa_number(context->image_pa));
    machine_boot_time();
}

/* ---- memory --------------------------------------------------------------------------------- */

/* How a type looks: told apart by shape, since not every terminal has colours. */
static const struct look {
    const char *colour, *glyph;
} looks[MAPVIEW_HOLE + 1] = {
    [MEM_USABLE] = {"\x1b[32m", "█"},
    [MEM_RESERVED] = {"\x1b[37m", "░"},
    [MEM_ACPI_RECLAIMABLE] = {"\x1b[35m", "+"},
    [MEM_ACPI_NVS] = {"\x1b[95m", "*"},
    [MEM_BAD] = {"\x1b[91m", "×"},
    [MEM_BOOTLOADER_RECLAIMABLE] = {"\x1b[36m", "▒"},
    [MEM_EXECUTABLE_AND_MODULES] = {"\x1b[33m", "■"},
    [MEM_FRAMEBUFFER] = {"\x1b[94m", "≡"},
    [MEM_RESERVED_MAPPED] = {"\x1b[93m", "●"},
    [MAPVIEW_HOLE] = {"\x1b[90m", "·"},
};

/* From the most free to the least. */
static const enum mem_type type_order[MEM_TYPES] = {MEM_USABLE,
                                                    MEM_BOOTLOADER_RECLAIMABLE,
                                                    MEM_EXECUTABLE_AND_MODULES,
                                                    MEM_ACPI_RECLAIMABLE,
                                                    MEM_ACPI_NVS,
                                                    MEM_RESERVED_MAPPED,
                                                    MEM_RESERVED,
                                                    MEM_FRAMEBUFFER,
                                                    MEM_BAD};

/* Write a label where it fits, with a blank at either side. */
static void place_label(char *text, size_t at, const char *label)
{
    size_t bytes = strlen(label);

    if (at + bytes > MAPVIEW_CELLS)
        return;
    for (size_t i = at ? at - 1 : 0; i < at + bytes + 1 && i < MAPVIEW_CELLS; i++)
        if (text[i] != ' ')
            return;
    memcpy(text + at, label, bytes);
}

/* Addresses under the picture: its end, then where each stretch of RAM starts, then the devices, as
 * far as there is room. */
static void print_labels(const struct mapview *view)
{
    char text[MAPVIEW_CELLS + 1], label[UNITS_MAX];

    memset(text, ' ', MAPVIEW_CELLS);
    text[MAPVIEW_CELLS] = '\0';
    units_size(label, pa_number(view->end));
    place_label(text, MAPVIEW_CELLS - strlen(label), label);
    for (int ram = 1; ram >= 0; ram--)
        for (unsigned i = 0; i < view->nlabels; i++)
            if (view->labels[i].ram == ram)
                place_label(text, view->labels[i].cell,
                            units_size(label, pa_number(view->labels[i].address)));
    kprintf(REPORT_INDENT STYLE_DIM "%s" STYLE_PLAIN "\n", text);
}

static void print_picture(void)
{
    struct mapview view;
    struct line line = {0};
    size_t n;
    const struct mem_region *map = memory_map(&n);

    mapview_draw(map, n, &view);
    line_add(&line, REPORT_INDENT);
    for (unsigned i = 0; i < view.ncells; i++) {
        const struct look *look = &looks[view.types[i]];
        if (i == 0 || view.types[i] != view.types[i - 1])
            line_add(&line, "%s", look->colour);
        line_add(&line, "%s", look->glyph);
    }
    line_add(&line, STYLE_PLAIN);
    line_print(&line);
    print_labels(&view);
}

/* The legend of the picture, with the sum of each type: two to a line. */
static void print_legend(const struct facts_memory *memory)
{
    struct line line = {0};
    unsigned shown = 0;
    char size[UNITS_MAX];

    for (unsigned i = 0; i < MEM_TYPES; i++) {
        enum mem_type type = type_order[i];
        if (memory->regions[type] == 0)
            continue;
        line_add(&line, "%s%s%s" STYLE_PLAIN " %-22s %11s", shown % 2 ? "    " : REPORT_INDENT,
                 looks[type].colour, looks[type].glyph, mem_type_name(type),
                 units_size(size, memory->bytes[type]));
        if (shown++ % 2) {
            line_print(&line);
            line = (struct line){0};
        }
    }
    if (shown % 2)
        line_print(&line);
}

static void print_memory(void)
{
    struct facts_memory memory;
    char remark[64], usable[UNITS_MAX], ram[UNITS_MAX];

    facts_memory(&memory);
    ksnprintf(remark, sizeof remark, "%s usable of %s RAM", units_size(usable, memory.usable_bytes),
              units_size(ram, memory.ram_bytes));
    report_heading("Memory", remark);
    print_picture();
    print_legend(&memory);
}

void report_memory_map(void)
{
    size_t n;
    const struct mem_region *map = memory_map(&n);
    char remark[32];

    ksnprintf(remark, sizeof remark, "%lu regions", (unsigned long)n);
    report_heading("Memory map", remark);
    kprintf(REPORT_INDENT STYLE_DIM "  %-17s %-17s %10s  %s" STYLE_PLAIN "\n", "first byte",
            "last byte", "size", "type");
    for (size_t i = 0; i < n; i++) {
        const struct look *look = &looks[map[i].type];
        char size[UNITS_MAX];
        kprintf(REPORT_INDENT "  %016lx  %016lx  %10s  %s%s" STYLE_PLAIN " %s\n",
                pa_number(map[i].base), pa_number(pa_add(map[i].base, map[i].bytes - 1)),
                units_size(size, map[i].bytes), look->colour, look->glyph,
                mem_type_name(map[i].type));
    }
    print_picture();
}

/* ---- the allocators ------------------------------------------------------------------------- */

void report_selfcheck(void)
{
    struct selfcheck_result result = selfcheck_last();

    if (result.failed == 0 && result.passed > 0)
        report_row("self-check", STYLE_GOOD "%u passed" STYLE_PLAIN, result.passed);
    else
        report_row("self-check", STYLE_BAD "%u passed, %u failed" STYLE_PLAIN, result.passed,
                   result.failed);
}

void report_print(void)
{
    report_heading(QL_NAME " " QL_VERSION, "");
    print_machine();
    print_memory();
    report_address_space();
    report_heading("Allocators", "");
    report_frames();
    report_page_tables();
    report_heap();
    report_selfcheck();
    kprintf("\n");
}
