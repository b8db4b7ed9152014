/* Owns: the checks of system calls that lie, and of the copy functions.
 * Relies on: user_room.c. Stage: after user_init. */
#include "check/user_kernel.h"

#include "check/selfcheck_parts.h"
#include "console/print.h"
#include "cpu/cpu.h"
#include "mm/string.h"
#include "user/copy.h"
#include "user/syscall.h"

#define FLAG_AC (1ull << 18)

#define DATA       ROOM_DATA_AT
#define DATA_BYTES (ROOM_DATA_PAGES * PAGE_BYTES)
#define DATA_END   (DATA + DATA_BYTES)

/* What an address counts from. */
enum base { NOTHING, KERNEL, LOWER_END };

static uint64_t address(enum base base, uint64_t offset)
{
    const uint64_t page = va_number(va_align_down(va_of(payload), PAGE_BYTES));
    return offset + (base == KERNEL ? page : base == LOWER_END ? cpu_lower_end() : 0);
}

/* --- System calls ---------------------------------------------------------------------------- */

#define ANY_REASON MM_OK
#define RW         (PROT_READ | PROT_WRITE)

struct lie {
    uint8_t call, base, status;
    uint64_t a, b, c;
};

static const struct lie lies[] = {
    {SYS_WRITE, KERNEL, MM_NOTFOUND, 0, 8, 0},
    {SYS_WRITE, LOWER_END, MM_NOTFOUND, 0, 1, 0},
    {SYS_WRITE, LOWER_END, MM_NOTFOUND, -8ull, 16, 0},
    {SYS_WRITE, NOTHING, MM_NOTFOUND, -3ull, 16, 0},
    {SYS_WRITE, NOTHING, MM_NOTFOUND, 0, 1, 0},
    {SYS_WRITE, NOTHING, MM_NOTFOUND, DATA_END - 8, 16, 0},
    {SYS_WRITE, NOTHING, MM_RANGE, DATA, UINT64_MAX, 0},
    {SYS_FREE, KERNEL, ANY_REASON, 0, 1, 0},
    {SYS_FREE, LOWER_END, ANY_REASON, 0, 1, 0},
    {SYS_FREE, NOTHING, ANY_REASON, DATA, UINT64_MAX / PAGE_BYTES, 0},
    {SYS_FREE, NOTHING, ANY_REASON, DATA, 0, 0},
    {SYS_FREE, NOTHING, ANY_REASON, DATA + 1, 1, 0},
    {SYS_FREE, NOTHING, ANY_REASON, DATA_END, 1, 0},
    {SYS_PROTECT, KERNEL, ANY_REASON, 0, 1, RW},
    {SYS_PROTECT, NOTHING, MM_DENIED, DATA, 1, RW | PROT_EXEC},
    {SYS_PROTECT, NOTHING, MM_INVAL, DATA, 1, RW | PROT_OWNED},
    {SYS_ALLOC, NOTHING, MM_DENIED, 1, RW | PROT_EXEC, 0},
    {SYS_ALLOC, NOTHING, MM_INVAL, 1, RW | PROT_GLOBAL, 0},
    {SYS_ALLOC, NOTHING, MM_INVAL, 1, 1ull << 32 | RW, 0},
    {SYS_ALLOC, NOTHING, ANY_REASON, UINT64_MAX, RW, 0},
    {SYS_ALLOC, NOTHING, ANY_REASON, 0, RW, 0},
    {UINT8_MAX, NOTHING, MM_INVAL, 0, 0, 0},
};

bool kernel_believes_nothing(struct room *room)
{
    bool good = true;
    for (unsigned i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        const struct lie *lie = &lies[i];
        const uint64_t call[4] = {lie->call, address(lie->base, lie->a), lie->b, lie->c};
        int64_t result = room_runs(room, payload_call, call) ? (int64_t)room->thread.code : 0;
        if (lie->status == ANY_REASON ? result < 0 : result == -(int64_t)lie->status)
            continue;
        kprintf("ring 3: call %lu(0x%lx, 0x%lx, 0x%lx): %ld\n", call[0], call[1], call[2], call[3],
                result);
        good = false;
    }
    return good;
}

/* --- Copies ---------------------------------------------------------------------------------- */

enum how { IN, OUT, CLEAR };

/* A copy, and how much is left to do after it. */
struct copy {
    uint8_t how, base;
    uint16_t left;
    uint64_t at;
};
#define COPY_BYTES 64

static const struct copy copies[] = {
    {OUT, NOTHING, 0, DATA + PAGE_BYTES - 20},
    {CLEAR, NOTHING, 0, DATA + PAGE_BYTES - 20},
    {IN, NOTHING, 0, ROOM_CONSTANT_AT},
    {OUT, NOTHING, 64, ROOM_CONSTANT_AT},
    {CLEAR, NOTHING, 64, ROOM_CONSTANT_AT},
    {OUT, NOTHING, 64, ROOM_TEXT_AT},
    {OUT, NOTHING, 40, DATA_END - 24},
    {IN, NOTHING, 63, DATA_END - 1},
    {CLEAR, NOTHING, 1, DATA_END - 63},
    {IN, NOTHING, 64, DATA_END},
    {IN, NOTHING, 64, 0},
    {IN, NOTHING, 64, -1ull},
    {IN, KERNEL, 64, 0},
    {OUT, KERNEL, 64, 0},
    {CLEAR, KERNEL, 64, 0},
    {IN, LOWER_END, 64, -8ull},
    {OUT, LOWER_END, 64, 0},
};

static size_t left_of(const struct copy *copy, uint8_t *bytes)
{
    const vaddr_t va = VA(address(copy->base, copy->at));
    return copy->how == IN    ? user_copy_in(bytes, va, COPY_BYTES)
           : copy->how == OUT ? user_copy_out(va, bytes, COPY_BYTES)
                              : user_clear(va, COPY_BYTES);
}

static bool copies_are_exact(void)
{
    uint8_t out[COPY_BYTES], in[COPY_BYTES];
    const vaddr_t va = VA(DATA + 2 * PAGE_BYTES - 20);
    uint64_t flags;
    for (unsigned i = 0; i < sizeof copies / sizeof copies[0]; i++)
        if (left_of(&copies[i], out) != copies[i].left) {
            kprintf("ring 3: copy %u\n", i);
            return false;
        }
    for (unsigned i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i + 1);
    EXPECT(user_copy_out(va, out, sizeof out) == 0 && user_clear(va_add(va, 10), 20) == 0);
    memset(out + 10, 0, 20);
    EXPECT(user_copy_in(in, va, sizeof in) == 0 && memcmp(in, out, sizeof in) == 0);
    EXPECT(user_copy_in(in, VA(8), UINT64_MAX) == UINT64_MAX);
    __asm__ volatile("pushfq; popq %0" : "=r"(flags));
    EXPECT(!(flags & FLAG_AC));
    return true;
}

static bool strings_are_bounded(void)
{
    char text[16];
    const vaddr_t at = VA(DATA_END - 5);
    EXPECT(user_copy_out(at, "lime", 5) == 0);
    EXPECT(user_string_in(text, at, sizeof text) == MM_OK && strcmp(text, "lime") == 0);
    EXPECT(user_string_in(text, at, 4) == MM_RANGE);
    EXPECT(user_copy_out(at, "limes", 5) == 0);
    EXPECT(user_string_in(text, at, sizeof text) == MM_NOTFOUND);
    EXPECT(user_string_in(text, va_of(payload), sizeof text) == MM_NOTFOUND);
    return true;
}

/* --- Everything else of the kernel ----------------------------------------------------------- */

static void read_byte(void *at)
{
    (void)*(volatile uint8_t *)at;
}

static void call_it(void *at)
{
    ((void (*)(void))(uintptr_t)at)();
}

static bool faults(void (*access)(void *), vaddr_t at, uint64_t error)
{
    struct trap_frame frame;
    return !traps_try(access, (void *)va_number(at), &frame) && frame.vector == TRAP_PAGE_FAULT &&
           frame.error == error;
}

/* A page that is not there is filled for a copy only; one that is there is kept by SMAP and SMEP. */
static bool the_rest_keeps_out(void)
{
    const uint64_t fetch = cpu_info()->nx || cpu_info()->smep ? FAULT_FETCH : 0;
    EXPECT(faults(read_byte, VA(DATA), 0));
    EXPECT(user_clear(VA(DATA), 1) == 0);
    EXPECT(!cpu_info()->smap || faults(read_byte, VA(DATA), FAULT_PRESENT));
    EXPECT(!cpu_info()->smep || faults(call_it, ROOM_TEXT, FAULT_PRESENT | fetch));
    EXPECT(faults(call_it, ROOM_NOTHING, fetch));
    return true;
}

bool kernel_copies(void)
{
    return the_rest_keeps_out() && copies_are_exact() && strings_are_bounded();
}
