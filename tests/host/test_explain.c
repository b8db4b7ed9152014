/* kernel/panic/explain.c with kernel/ranges.c, symbols.c with symbols.awk, kernel/options.c: the words of a panic, the
 * names in its stack trace, and what the command line asks of it. */
#include "test.h"

#include "boot/context.h"
#include "console/console.h"
#include "console/serial.h"
#include "layout.h"
#include "mm/heap_debug.h"
#include "mm/heap_stats.h"
#include "options.h"
#include "panic/explain.h"
#include "panic/symbols.h"
#include "ranges.h"

/* print.c, which puts sentences together, has sinks that are not used here. */
void serial_write(const char *text, size_t bytes)
{
    (void)text;
    (void)bytes;
}
void console_write(const char *text, size_t bytes)
{
    (void)text;
    (void)bytes;
}

/* ---- the kernel that the tests pretend to be in --------------------------------------------- */

#define IMAGE 0xffffffff80000000ull
#define SLID  0xffffffff9d400000ull /* where the loader put it, as KASLR does */
#define TEXT  0x3000ull
#define GUARD (SLID + 0x20000)

static struct boot_context context;
static uint64_t text_start, text_bytes;

const struct boot_context *boot_context(void)
{
    return &context;
}

bool layout_in_text(uint64_t address)
{
    return address - text_start < text_bytes;
}

vaddr_t layout_image_start(void)
{
    return VA(text_start);
}

const char *trap_name(uint64_t vector)
{
    return vector == 0 ? "divide error" : "some exception";
}

#define ALLOCATED 0xffffc00000100000ull

static const struct map_range boot_ranges[] = {
    {"null page", {0}, {0}, 1, 0, CACHE_WB},
    {"direct map", {0xffff800000001000}, {0x1000}, 0x1000, PROT_READ | PROT_WRITE, CACHE_WB},
    {"kernel text", {SLID}, {0x400000}, 3, PROT_READ | PROT_EXEC, CACHE_WB},
    {"kernel rodata", {SLID + 0x3000}, {0x403000}, 4, PROT_READ, CACHE_WB},
    {"boot stack guard", {GUARD}, {0}, 1, 0, CACHE_WB},
    {"kernel data", {GUARD + 0x1000}, {0x421000}, 64, PROT_READ | PROT_WRITE, CACHE_WB},
};

/* Two that share the page between them, and one apart; a guard in front of each. */
static const struct vmm_range allocated[] = {
    {"CPU 1 stack", {ALLOCATED}, 8},
    {"buffers", {ALLOCATED + 0x9000}, 16},
    {"framebuffer", {0xffffe00000001000}, 4},
};

/* What the pages of "buffers" are, from the first on. */
static const struct vmm_run runs[] = {
    {.va = {ALLOCATED + 0x9000}, .npages = 4, .kind = VMM_IS_PAGE},
    {.va = {ALLOCATED + 0xd000}, .npages = 4, .kind = VMM_IS_LAZY},
    {.va = {ALLOCATED + 0x11000}, .npages = 4, .kind = VMM_IS_SET_ASIDE},
    {.va = {ALLOCATED + 0x15000}, .npages = 2, .kind = VMM_IS_STACK},
};

/* An object that the heap knows all about. */
#define SAMPLED 0xffffc00000200000ull

bool heap_explain(const void *p, char *out, size_t bytes)
{
    if ((uint64_t)(uintptr_t)p != SAMPLED)
        return false;
    snprintf(out, bytes, "use after free, by the test");
    return true;
}

bool mapper_find(vaddr_t va, struct map_range *out)
{
    for (size_t i = 0; i < COUNT(boot_ranges); i++) {
        if (va.v - boot_ranges[i].va.v >= boot_ranges[i].npages * PAGE_BYTES)
            continue;
        *out = boot_ranges[i];
        return true;
    }
    return false;
}

bool mapper_next_range(struct map_range *range)
{
    uint64_t from = range->npages > 0 ? range->va.v + range->npages * PAGE_BYTES : 0;
    for (size_t i = 0; i < COUNT(boot_ranges); i++) {
        if (boot_ranges[i].va.v < from || (from == 0 && range->npages > 0))
            continue;
        *range = boot_ranges[i];
        return true;
    }
    return false;
}

bool vmm_find(vaddr_t va, struct vmm_range *out)
{
    for (size_t i = 0; i < COUNT(allocated); i++) {
        uint64_t guard = allocated[i].va.v - PAGE_BYTES;
        if (va.v - guard >= (allocated[i].npages + 1) * PAGE_BYTES)
            continue;
        *out = allocated[i];
        return true;
    }
    return false;
}

bool vmm_next_range(struct vmm_range *range)
{
    for (size_t i = 0; i < COUNT(allocated); i++) {
        if (range->npages > 0 && allocated[i].va.v <= range->va.v)
            continue;
        *range = allocated[i];
        return true;
    }
    return false;
}

struct vm *vmm_kernel(void)
{
    static struct vm vm;
    return &vm;
}

mm_status_t vmm_next(struct vm *vm, vaddr_t *cursor, struct vmm_run *out)
{
    assert_ptr_equal(vm, vmm_kernel());
    for (size_t i = 0; i < COUNT(runs); i++) {
        uint64_t end = runs[i].va.v + runs[i].npages * PAGE_BYTES;
        if (cursor->v >= end)
            continue;
        *out = runs[i];
        if (cursor->v > out->va.v)
            out->va = *cursor;
        *cursor = VA(end);
        return MM_OK;
    }
    return MM_NOTFOUND;
}

/* Two objects of the heap: a live one in the direct map, a free one beside it. */
#define OBJECT 0xffff800000003040ull

bool heap_find(const void *p, struct heap_place *out)
{
    uint64_t offset = (uint64_t)(uintptr_t)p - OBJECT;
    if (offset >= 128)
        return false;
    *out = (struct heap_place){(const void *)(OBJECT + offset / 64 * 64), 64, 3, offset < 64};
    return true;
}

const char *heap_class_name(unsigned class)
{
    return class == 3 ? "64" : NULL;
}

static int begin(void **state)
{
    (void)state;
    text_start = SLID;
    text_bytes = TEXT;
    context = (struct boot_context){0};
    return 0;
}

/* ---- explain -------------------------------------------------------------------------------- */

static const char *explain(struct trap_frame frame, uint64_t cr2)
{
    static char words[256];
    memset(words, '#', sizeof words);
    explain_trap(&frame, cr2, words, sizeof words);
    assert_non_null(memchr(words, 0, sizeof words));
    return words;
}

static const char *page_fault(uint64_t error, uint64_t address)
{
    return explain(
        (struct trap_frame){
            .vector = TRAP_PAGE_FAULT, .error = error, .rip = SLID + 0x10, .rsp = GUARD + 0x8000},
        address);
}

static void user_mode_ends_where_the_lower_half_does(void **state)
{
    static const uint64_t ends[] = {1ull << 47, 1ull << 56};
    (void)state;
    for (size_t i = 0; i < COUNT(ends); i++) {
        assert_non_null(strstr(page_fault(FAULT_PRESENT, ends[i] - 1), "belongs to user mode"));
        assert_null(strstr(page_fault(FAULT_PRESENT, -ends[i]), "belongs to user mode"));
    }
}

static void page_faults_say_what_was_done_to_what(void **state)
{
    static const struct {
        uint64_t error, address;
        const char *words;
    } cases[] = {
        {0, 0xffffc123456789ab,
         "page fault: read of a page that is not mapped at 0xffffc123456789ab, where nothing is "
         "allocated, or not any more"},
        {FAULT_WRITE, 0xfffff000000000ff,
         "page fault: write to a page that is not mapped at 0xfffff000000000ff"},
        {FAULT_FETCH, 0xffffbffffffff000,
         "page fault: instruction fetch from a page that is not mapped at 0xffffbffffffff000"},
        {0, 0x1000, "page fault: read of a page that is not mapped at 0x0000000000001000"},
        {FAULT_PRESENT | FAULT_WRITE, SLID + 0x3008,
         "page fault: write to a read-only page at 0xffffffff9d403008, in kernel rodata"},
        {FAULT_PRESENT | FAULT_WRITE, SLID + 0x2fff,
         "page fault: write to a read-only page at 0xffffffff9d402fff, in kernel text"},
        {FAULT_PRESENT | FAULT_FETCH, GUARD + 0x1000,
         "page fault: instruction fetch from a page that is not executable at 0xffffffff9d421000, "
         "in kernel data"},
        {FAULT_PRESENT | FAULT_FETCH, 0xffff800000002000,
         "page fault: instruction fetch from a page that is not executable at 0xffff800000002000, "
         "in direct map"},
        {FAULT_PRESENT | FAULT_FETCH, OBJECT + 12,
         "page fault: instruction fetch from a page that is not executable at 0xffff80000000304c, "
         "in direct map, 12 bytes inside an object of 64 bytes (class 64)"},
        {FAULT_PRESENT | FAULT_FETCH, OBJECT + 64,
         "page fault: instruction fetch from a page that is not executable at 0xffff800000003080, "
         "in direct map, in a free object of class 64"},
        {FAULT_PRESENT | FAULT_FETCH, OBJECT + 128,
         "page fault: instruction fetch from a page that is not executable at 0xffff8000000030c0, "
         "in direct map"},
        {FAULT_PRESENT, 0x400000,
         "page fault: read of a page that belongs to user mode at 0x0000000000400000"},
        {FAULT_PRESENT | FAULT_WRITE, 0x400000,
         "page fault: write to a page that belongs to user mode at 0x0000000000400000"},
        {FAULT_PRESENT | FAULT_FETCH, 0x7fffffffffff,
         "page fault: instruction fetch from a page that belongs to user mode at "
         "0x00007fffffffffff"},
        {FAULT_PRESENT, SLID + 0x3000,
         "page fault: read of a page that is mapped, but not for this at 0xffffffff9d403000, in "
         "kernel rodata"},
        {FAULT_PRESENT | FAULT_RESERVED, 0xfffff00000000000,
         "page fault: read of a page whose table entry is damaged at 0xfffff00000000000"},
        {FAULT_PRESENT | FAULT_RESERVED | FAULT_WRITE, SLID + 0x3000,
         "page fault: write to a page whose table entry is damaged at 0xffffffff9d403000, in "
         "kernel "
         "rodata"},
        {FAULT_WRITE, SAMPLED, "write to 0xffffc00000200000: use after free, by the test"},
        {0, 0, "null pointer access: read of address 0x0"},
        {FAULT_WRITE, 0xfff, "null pointer access: write to address 0xfff"},
        {FAULT_FETCH, 0x18, "null pointer access: instruction fetch from address 0x18"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(page_fault(cases[i].error, cases[i].address), cases[i].words);
}

static void faults_around_allocated_ranges_say_where(void **state)
{
    static const struct {
        uint64_t error, address;
        const char *words;
    } cases[] = {
        {0, ALLOCATED - 1,
         "page fault: read of a page that is not mapped at 0xffffc000000fffff, in the guard page "
         "of "
         "CPU 1 stack"},
        {FAULT_WRITE, ALLOCATED + 0x8010,
         "page fault: write to a page that is not mapped at 0xffffc00000108010, 16 bytes behind "
         "CPU "
         "1 stack, in the guard page of buffers"},
        {FAULT_WRITE, ALLOCATED + 0x8000,
         "page fault: write to a page that is not mapped at 0xffffc00000108000, right behind CPU 1 "
         "stack, in the guard page of buffers"},
        {0, ALLOCATED + 0x19001,
         "page fault: read of a page that is not mapped at 0xffffc00000119001, 1 byte behind "
         "buffers"},
        {0, ALLOCATED + 0x1a000,
         "page fault: read of a page that is not mapped at 0xffffc0000011a000, where nothing is "
         "allocated, or not any more"},
        {FAULT_PRESENT | FAULT_WRITE, ALLOCATED + 0x9123,
         "page fault: write to a read-only page at 0xffffc00000109123, in buffers"},
        {0, ALLOCATED + 0xd000,
         "page fault: read of a page that could not be given memory at 0xffffc0000010d000, in "
         "buffers"},
        {0, ALLOCATED + 0x12345,
         "page fault: read of a page that is reserved, but has no memory at 0xffffc00000112345, in "
         "buffers"},
        {FAULT_WRITE, ALLOCATED + 0x15fff,
         "page fault: write to a page that its stack has not grown to at 0xffffc00000115fff, in "
         "buffers"},
        {0, ALLOCATED + 0x17000,
         "page fault: read of a page that is not mapped at 0xffffc00000117000, in buffers"},
        {0, 0xffffe00000000000,
         "page fault: read of a page that is not mapped at 0xffffe00000000000, in the guard page "
         "of "
         "framebuffer"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(page_fault(cases[i].error, cases[i].address), cases[i].words);
    struct trap_frame frame = {
        .vector = TRAP_PAGE_FAULT, .error = FAULT_WRITE, .rsp = ALLOCATED + 0x10};
    assert_string_equal(
        explain(frame, ALLOCATED - 8),
        "stack overflow: the guard page of CPU 1 stack was hit at 0xffffc000000ffff8");
    frame.vector = TRAP_DOUBLE_FAULT;
    assert_string_equal(
        explain(frame, ALLOCATED - 8),
        "stack overflow: the guard page of CPU 1 stack was hit at 0xffffc000000ffff8");
    /* The range behind it is near the stack, too, but that is not what hit its guard. */
    frame = (struct trap_frame){
        .vector = TRAP_PAGE_FAULT, .error = FAULT_WRITE, .rsp = ALLOCATED + 0x7000};
    assert_non_null(strstr(explain(frame, ALLOCATED + 0x8ff8), "in the guard page of buffers"));
    assert_null(strstr(explain(frame, ALLOCATED + 0x8ff8), "overflow"));
}

static void all_ranges_come_in_the_order_of_their_addresses(void **state)
{
    static const char *const names[] = {"null page",     "direct map",       "CPU 1 stack",
                                        "buffers",       "framebuffer",      "kernel text",
                                        "kernel rodata", "boot stack guard", "kernel data"};
    struct range range = {0};
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        struct range found;
        assert_true(ranges_next(&range));
        assert_string_equal(names[i], range.name);
        assert_true(ranges_find(range.va, &found));
        assert_int_equal(range.va.v, found.va.v);
        assert_int_equal(range.npages, found.npages);
    }
    assert_false(ranges_next(&range));
    assert_string_equal("kernel data", range.name);
}

static void every_error_code_gives_a_sentence(void **state)
{
    static const uint64_t addresses[] = {0, 0x1000, 0x400000, SLID, GUARD, UINT64_MAX};
    (void)state;
    for (uint64_t error = 0; error < 0x10000; error++)
        for (size_t i = 0; i < COUNT(addresses); i++)
            assert_true(strlen(page_fault(error, addresses[i])) > 20);
}

static void a_guard_page_is_an_overflow_only_with_the_stack_there(void **state)
{
    static const struct {
        uint64_t rsp;
        bool overflow;
    } cases[] = {
        {GUARD + 0x1000, true},   {GUARD + 0x1008, true},
        {GUARD + 0x800, true},    {GUARD - 0x8000, true},
        {GUARD + 0x8000, false},  {GUARD + 0x1000 + 512, false},
        {GUARD - 0x10001, false}, {0, false},
        {UINT64_MAX, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct trap_frame frame = {
            .vector = TRAP_PAGE_FAULT, .error = FAULT_WRITE, .rsp = cases[i].rsp};
        assert_string_equal(
            explain(frame, GUARD + 0xff8),
            cases[i].overflow
                ? "stack overflow: the boot stack guard page was hit at 0xffffffff9d420ff8"
                : "page fault: write to a page that is not mapped at 0xffffffff9d420ff8, in the "
                  "boot stack guard page");
        frame.vector = TRAP_DOUBLE_FAULT;
        frame.error = 0;
        if (cases[i].overflow)
            assert_string_equal(
                explain(frame, GUARD + 0xff8),
                "stack overflow: the boot stack guard page was hit at 0xffffffff9d420ff8");
        else
            assert_non_null(strstr(explain(frame, GUARD + 0xff8), "double fault: "));
    }
}

static void double_faults_tell_what_there_is_to_tell(void **state)
{
    (void)state;
    assert_string_equal(explain((struct trap_frame){.vector = TRAP_DOUBLE_FAULT, .rsp = 0x1234},
                                0xffffc00000000000),
                        "double fault: the handling of an exception met another one; stack pointer "
                        "0x0000000000001234, last page fault at 0xffffc00000000000");
}

/* The instruction lies at the very end of the text: what is behind it must not be read. */
static const char *invalid_opcode(const char *code, size_t bytes)
{
    static uint8_t *text;
    free(text);
    text = malloc(bytes);
    memcpy(text, code, bytes);
    text_start = (uint64_t)(uintptr_t)text;
    text_bytes = bytes;
    return explain((struct trap_frame){.vector = TRAP_INVALID_OPCODE, .rip = text_start}, 0);
}

#define OPCODE(code) invalid_opcode(code, sizeof code - 1)

static void invalid_opcodes_are_told_apart(void **state)
{
    (void)state;
    assert_string_equal(OPCODE("\x0f\x0b\x90\x90\x90"),
                        "invalid opcode: ud2, where the compiler or we expect to never arrive");
    assert_string_equal(OPCODE("\x0f\x0b"),
                        "invalid opcode: ud2, where the compiler or we expect to never arrive");
    assert_string_equal(OPCODE("\x67\x0f\xb9\x40\x12\x90"),
                        "undefined behaviour: an index is out of bounds");
    assert_string_equal(OPCODE("\x67\x0f\xb9\x00\x90"), "undefined behaviour: addition overflows");
    assert_string_equal(OPCODE("\x67\x0f\xb9\x40\xff"), "undefined behaviour: of an unknown kind");
    assert_string_equal(OPCODE("\x67\x0f\xb9\x40\x02"), "undefined behaviour: of an unknown kind");
    assert_string_equal(OPCODE("\x67\x0f\xb9\x40\x19"), "undefined behaviour: of an unknown kind");
    assert_string_equal(OPCODE("\x67\x0f\x05\x40\x12"),
                        "invalid opcode: the CPU does not know the instruction 67 0f 05 40 12");
    assert_string_equal(OPCODE("\x67\x90\xb9\x40\x12"),
                        "invalid opcode: the CPU does not know the instruction 67 90 b9 40 12");
    assert_string_equal(OPCODE("\x66\x0f\xb9\x40\x12"),
                        "invalid opcode: the CPU does not know the instruction 66 0f b9 40 12");
    assert_string_equal(OPCODE("\x0f\x05\x90\x90\x90"),
                        "invalid opcode: the CPU does not know the instruction 0f 05 90 90 90");
    assert_string_equal(OPCODE("\x90\x0b\x90\x90\x90"),
                        "invalid opcode: the CPU does not know the instruction 90 0b 90 90 90");
    assert_string_equal(OPCODE("\xc5\xf8\x77\x90\x90"),
                        "invalid opcode: the CPU does not know the instruction c5 f8 77 90 90");
    assert_string_equal(OPCODE("\xc5"),
                        "invalid opcode: the CPU does not know the instruction c5 00 00 00 00");
    begin(state);
    assert_string_equal(
        explain((struct trap_frame){.vector = TRAP_INVALID_OPCODE, .rip = GUARD}, 0),
        "invalid opcode, outside the kernel's text at 0xffffffff9d420000");
}

static void protection_faults_name_the_table(void **state)
{
    struct trap_frame frame = {.vector = TRAP_GENERAL_PROTECTION};
    (void)state;
    assert_string_equal(explain(frame, 0),
                        "general protection fault: a non-canonical address or an instruction that "
                        "is not allowed here");
    frame.error = 0x402;
    assert_string_equal(explain(frame, 0),
                        "general protection fault: interrupt table entry 0x80 cannot be used");
    frame.error = 0x28;
    assert_string_equal(explain(frame, 0),
                        "general protection fault: segment table entry 0x5 cannot be used");
}

static void other_exceptions_have_their_name(void **state)
{
    (void)state;
    assert_string_equal(explain((struct trap_frame){.vector = 0}, 0), "divide error");
    assert_string_equal(explain((struct trap_frame){.vector = 11, .error = 0x18}, 0),
                        "some exception, error code 0x18");
}

static void a_short_buffer_cuts_the_sentence(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 120; bytes++) {
        char *words = malloc(bytes);
        struct trap_frame frame = {.vector = TRAP_PAGE_FAULT, .error = FAULT_WRITE, .rsp = GUARD};
        explain_trap(&frame, SLID, words, bytes);
        assert_true(strlen(words) < bytes);
        free(words);
    }
}

/* ---- symbols: tests/host/symbols.nm by way of symbols.awk ------------------------------------ */

static void assert_symbol(uint64_t address, const char *name, uint64_t offset)
{
    uint64_t got = 0xcccc;
    const char *found = symbols_find(address, &got);
    if (!name) {
        assert_null(found);
        return;
    }
    assert_non_null(found);
    assert_string_equal(found, name);
    assert_int_equal(got, offset);
}

static void addresses_have_the_name_of_their_function(void **state)
{
    (void)state;
    assert_symbol(SLID + 0x10, "kernel_entry", 0);
    assert_symbol(SLID + 0x2f, "kernel_entry", 0x1f);
    assert_symbol(SLID + 0x30, "kmain", 0);
    assert_symbol(SLID + 0x110, "static_one", 0x10);
    assert_symbol(SLID + 0x1fff, "panic", 0xfff);
    assert_symbol(SLID + 0x2000, "last_one", 0);
    assert_symbol(SLID + TEXT - 1, "last_one", 0xfff);
}

static void what_is_not_text_has_no_name(void **state)
{
    (void)state;
    assert_symbol(SLID, NULL, 0); /* before the first function */
    assert_symbol(SLID + TEXT, NULL, 0);
    assert_symbol(SLID - 1, NULL, 0);
    assert_symbol(0, NULL, 0);
    assert_symbol(IMAGE, NULL, 0);
    assert_symbol(UINT64_MAX, NULL, 0);
}

/* ---- options -------------------------------------------------------------------------------- */

static void assert_option(const char *cmdline, const char *name, const char *expected)
{
    char value[16] = "untouched";
    snprintf(context.cmdline, sizeof context.cmdline, "%s", cmdline);
    assert_int_equal(option_get(name, value, sizeof value), expected != NULL);
    assert_string_equal(value, expected ? expected : "untouched");
    assert_int_equal(option_get(name, NULL, 0), expected != NULL);
}

static void options_are_whole_words(void **state)
{
    (void)state;
    assert_option("", "exit", NULL);
    assert_option("exit", "exit", "");
    assert_option("exit=debug", "exit", "debug");
    assert_option("  report=json   exit=debug  ", "exit", "debug");
    assert_option("  report=json   exit=debug  ", "report", "json");
    assert_option("exit= report", "exit", "");
    assert_option("exit=a=b", "exit", "a=b");
    assert_option("exits", "exit", NULL);
    assert_option("noexit", "exit", NULL);
    assert_option("a=exit", "exit", NULL);
    assert_option("exits exit=1", "exit", "1");
    assert_option("ex", "exit", NULL);
    assert_option("Exit", "exit", NULL);
}

static void long_values_are_cut(void **state)
{
    char value[5];
    (void)state;
    assert_option("panic=0123456789abcdefghi x", "panic", "0123456789abcde");
    snprintf(context.cmdline, sizeof context.cmdline, "panic=reboot");
    assert_true(option_get("panic", value, sizeof value));
    assert_string_equal(value, "rebo");
    assert_true(option_get("panic", value, 1));
    assert_string_equal(value, "");
    value[0] = 'x';
    assert_true(option_get("panic", value, 0));
    assert_int_equal(value[0], 'x');
}

static void any_command_line_is_survived(void **state)
{
    struct rng rng = rng_start();
    (void)state;
    for (unsigned run = 0; run < 20000; run++) {
        size_t length = rng_below(&rng, sizeof context.cmdline);
        char value[8];
        for (size_t i = 0; i < length; i++)
            context.cmdline[i] = rng_below(&rng, 3) ? " exit=="[rng_below(&rng, 7)]
                                                    : (char)rng_between(&rng, 1, 255);
        context.cmdline[length] = '\0';
        if (option_get("exit", value, sizeof value))
            assert_true(strstr(context.cmdline, "exit") && strlen(value) < sizeof value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(page_faults_say_what_was_done_to_what, begin),
        cmocka_unit_test_setup(faults_around_allocated_ranges_say_where, begin),
        cmocka_unit_test_setup(all_ranges_come_in_the_order_of_their_addresses, begin),
        cmocka_unit_test_setup(user_mode_ends_where_the_lower_half_does, begin),
        cmocka_unit_test_setup(every_error_code_gives_a_sentence, begin),
        cmocka_unit_test_setup(a_guard_page_is_an_overflow_only_with_the_stack_there, begin),
        cmocka_unit_test_setup(double_faults_tell_what_there_is_to_tell, begin),
        cmocka_unit_test_setup(invalid_opcodes_are_told_apart, begin),
        cmocka_unit_test_setup(protection_faults_name_the_table, begin),
        cmocka_unit_test_setup(other_exceptions_have_their_name, begin),
        cmocka_unit_test_setup(a_short_buffer_cuts_the_sentence, begin),
        cmocka_unit_test_setup(addresses_have_the_name_of_their_function, begin),
        cmocka_unit_test_setup(what_is_not_text_has_no_name, begin),
        cmocka_unit_test_setup(options_are_whole_words, begin),
        cmocka_unit_test_setup(long_values_are_cut, begin),
        cmocka_unit_test_setup(any_command_line_is_survived, begin),
    };
    return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
