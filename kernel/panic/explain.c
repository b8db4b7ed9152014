/* Owns: the words for exceptions.
 * Relies on: the kernel's ranges (none before the take-over: fewer words then).
 * Stage: any. source: Intel SDM Vol. 3A "Interrupt and Exception Handling", "Interrupt 14". */
#include "panic/explain.h"

#include "console/print.h"
#include "layout.h"
#include "mm/heap_debug.h"
#include "ranges.h"

/* How far from a guard page the stack pointer of an overflow can be: a push just above it, a large
 * frame set up below it. */
#define OVERFLOW_ABOVE 512
#define OVERFLOW_BELOW 0x10000

/* The guard page at address was hit by a stack that is used up: it ends near there. A stack pointer
 * below it that is in a range of its own is that of another stack, which has room. */
static bool stack_overflowed(uint64_t address, uint64_t rsp)
{
    struct range range;
    uint64_t guard = address & ~(PAGE_BYTES - 1), lowest = guard - OVERFLOW_BELOW;
    if (rsp - guard < PAGE_BYTES + OVERFLOW_ABOVE)
        return true;
    bool elsewhere = ranges_find(VA(rsp), &range) && range.allocated && va_le(range.va, VA(rsp));
    return rsp - lowest < OVERFLOW_BELOW && !elsewhere;
}

static bool explain_overflow(const struct trap_frame *frame, uint64_t cr2, char *out, size_t bytes)
{
    char guard[RANGES_WORDS];
    if (!stack_overflowed(cr2, frame->rsp) || !ranges_guard(VA(cr2), guard, sizeof guard))
        return false;
    ksnprintf(out, bytes, "stack overflow: the %s was hit at 0x%016lx", guard, cr2);
    return true;
}

/* An allocated range may have pages without memory. */
static const char *absent_page(vaddr_t va)
{
    struct range range;
    struct vmm_run run = {.kind = VMM_IS_FREE};
    vaddr_t cursor = va_align_down(va, PAGE_BYTES);
    bool allocated = ranges_find(va, &range) && range.allocated;
    if (!allocated || vmm_next(vmm_kernel(), &cursor, &run) != MM_OK || va_lt(va, run.va))
        return "a page that is not mapped";
    switch (run.kind) {
    case VMM_IS_SET_ASIDE:
        return "a page that is reserved, but has no memory";
    case VMM_IS_LAZY:
        return "a page that could not be given memory";
    case VMM_IS_STACK:
        return "a page that its stack has not grown to";
    default:
        return "a page that is not mapped";
    }
}

static const char *access_of(uint64_t error)
{
    return error & FAULT_FETCH   ? "instruction fetch from"
           : error & FAULT_WRITE ? "write to"
                                 : "read of";
}

static void explain_page_fault(const struct trap_frame *frame, uint64_t cr2, char *out,
                               size_t bytes)
{
    uint64_t error = frame->error;
    char what[96], where[RANGES_WORDS], object[256];

    if (cr2 < PAGE_BYTES) {
        ksnprintf(out, bytes, "null pointer access: %s address 0x%lx", access_of(error), cr2);
        return;
    }
    if (explain_overflow(frame, cr2, out, bytes))
        return;
    bool present = error & FAULT_PRESENT; /* the address is only looked up: */
    if (!present && heap_explain((const void *)(uintptr_t)cr2, object, sizeof object)) {
        ksnprintf(out, bytes, "%s 0x%016lx: %s", access_of(error), cr2, object);
        return;
    }
    if (error & FAULT_RESERVED)
        ksnprintf(what, sizeof what, "%s a page whose table entry is damaged", access_of(error));
    else if (!present)
        ksnprintf(what, sizeof what, "%s %s", access_of(error), absent_page(VA(cr2)));
    else if (cr2 >> 63 == 0) /* SMEP and SMAP */
        ksnprintf(what, sizeof what, "%s a page that belongs to user mode", access_of(error));
    else if (error & FAULT_FETCH)
        ksnprintf(what, sizeof what, "instruction fetch from a page that is not executable");
    else if (error & FAULT_WRITE)
        ksnprintf(what, sizeof what, "write to a read-only page");
    else
        ksnprintf(what, sizeof what, "read of a page that is mapped, but not for this");
    ranges_place(VA(cr2), where, sizeof where);
    ksnprintf(out, bytes, "page fault: %s at 0x%016lx%s%s", what, cr2, *where ? ", " : "", where);
}

/* A double fault is nearly always a stack that has no room left for the first fault's frame. */
static void explain_double_fault(const struct trap_frame *frame, uint64_t cr2, char *out,
                                 size_t bytes)
{
    if (!explain_overflow(frame, cr2, out, bytes))
        ksnprintf(out, bytes,
                  "double fault: the handling of an exception met another one; stack pointer "
                  "0x%016lx, last page fault at 0x%016lx",
                  frame->rsp, cr2);
}

/* What clang's -fsanitize-trap puts into the displacement of a ud1.
 * source: clang's list of sanitizer handlers (CodeGenFunction.h, LIST_SANITIZER_CHECKS). */
static const char *undefined_behaviour(unsigned kind)
{
    static const char *const names[] = {
        [0] = "addition overflows",
        [1] = "unreachable code was reached",
        [3] = "division overflows",
        [7] = "an implicit conversion changes the value",
        [8] = "a builtin got an argument that it does not allow",
        [10] = "a value that its type cannot hold was loaded",
        [11] = "a function that returns a value ends without one",
        [12] = "multiplication overflows",
        [13] = "negation overflows",
        [16] = "a null argument where none is allowed",
        [18] = "an index is out of bounds",
        [19] = "pointer arithmetic overflows",
        [20] = "a shift is out of bounds",
        [21] = "subtraction overflows",
        [22] = "access through a null, misaligned or wrongly typed pointer",
        [24] = "the length of an array is not positive",
    };
    const char *name = kind < sizeof names / sizeof names[0] ? names[kind] : NULL;
    return name ? name : "of an unknown kind";
}

static void explain_invalid_opcode(const struct trap_frame *frame, char *out, size_t bytes)
{
    const uint8_t *text = (const uint8_t *)(uintptr_t)frame->rip; /* mapped, if it is our text */
    uint8_t code[5] = {0};
    size_t n = 0;
    for (; n < sizeof code && layout_in_text(frame->rip + n); n++)
        code[n] = text[n];

    if (n == 0)
        ksnprintf(out, bytes, "invalid opcode, outside the kernel's text at 0x%016lx", frame->rip);
    else if (code[0] == 0x67 && code[1] == 0x0f && code[2] == 0xb9)
        ksnprintf(out, bytes, "undefined behaviour: %s",
                  undefined_behaviour(code[3] & 0x40 ? code[4] : 0));
    else if (code[0] == 0x0f && code[1] == 0x0b)
        ksnprintf(out, bytes,
                  "invalid opcode: ud2, where the compiler or we expect to never arrive");
    else
        ksnprintf(out, bytes,
                  "invalid opcode: the CPU does not know the instruction %02x %02x %02x %02x %02x",
                  code[0], code[1], code[2], code[3], code[4]);
}

static void explain_protection(const struct trap_frame *frame, char *out, size_t bytes)
{
    if (frame->error == 0)
        ksnprintf(out, bytes,
                  "general protection fault: a non-canonical address or an instruction that is not "
                  "allowed here");
    else
        ksnprintf(out, bytes, "general protection fault: %s entry 0x%lx cannot be used",
                  frame->error & 2 ? "interrupt table" : "segment table", frame->error >> 3);
}

void explain_trap(const struct trap_frame *frame, uint64_t cr2, char *out, size_t bytes)
{
    switch (frame->vector) {
    case TRAP_PAGE_FAULT:
        explain_page_fault(frame, cr2, out, bytes);
        break;
    case TRAP_DOUBLE_FAULT:
        explain_double_fault(frame, cr2, out, bytes);
        break;
    case TRAP_INVALID_OPCODE:
        explain_invalid_opcode(frame, out, bytes);
        break;
    case TRAP_GENERAL_PROTECTION:
        explain_protection(frame, out, bytes);
        break;
    default:
        if (frame->error == 0) /* most exceptions have none */
            ksnprintf(out, bytes, "%s", trap_name(frame->vector));
        else
            ksnprintf(out, bytes, "%s, error code 0x%lx", trap_name(frame->vector), frame->error);
    }
}
