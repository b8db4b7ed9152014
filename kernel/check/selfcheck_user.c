/* Owns: the checks of ring 3, and of the kernel's own access to its memory.
 * Relies on: user_room.c, user_forbidden.c, the crew for two CPUs at once. Stage: after cpus_start. */
#include "check/selfcheck_parts.h"
#include "check/user_forbidden.h"
#include "check/user_kernel.h"
#include "check/user_room.h"
#include "console/print.h"
#include "cpu/clock.h"
#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "cpu/crew.h"
#include "mm/pmm.h"
#include "mm/string.h"
#include "user/copy.h"
#include "user/syscall.h"

#define FLAG_DF (1ull << 10)
#define FLAG_NT (1ull << 14)
#define FLAG_AC (1ull << 18)

#define SLICE_USEC  300
#define LISTEN_USEC 200000 /* at most */
#define SLICES_MAX  1000

static struct room room, other; /* of a check, while it runs */

static uint64_t free_kib(void)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    return stats.free_kib + vmm_share_frames() * (FRAME_BYTES / 1024);
}

/* A check in the room's space: it is not switched for each thread then. What the check itself found
 * wrong is said first. */
static bool in_room(bool (*check)(void))
{
    uint64_t before = free_kib();
    EXPECT(room_open(&room, "check"));
    vmm_switch(&room.vm);
    bool good = check();
    vmm_switch(vmm_kernel());
    room_close(&room);
    EXPECT(!good || free_kib() == before);
    return good;
}

/* --- What a thread can do -------------------------------------------------------------------- */

static bool exits(const uint8_t *program, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                  uint64_t code)
{
    return room_exits(&room, program, (uint64_t[4]){a, b, c, d}, code);
}

static char heard[SYS_WRITE_MAX + 1];
static bool flags_were_good;

/* Called in a system call, and in a trap, that ring 3 makes with all of these set. Without SMAP, AC is
 * nothing to the kernel. */
static void look_at_flags(void)
{
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0" : "=r"(flags));
    flags_were_good = !(flags & (FLAG_DF | FLAG_NT | (cpu_info()->smap ? FLAG_AC : 0)));
}

static void listen(struct user_thread *thread, const char *text)
{
    (void)thread;
    look_at_flags();
    memcpy(heard, text, strlen(text) + 1);
}

static void on_trap(struct trap_frame *frame)
{
    look_at_flags();
    user_kill(frame);
}

static bool flags_stay_in_ring_3(void)
{
    const uint64_t untouched = va_number(ROOM_DATA) + (ROOM_DATA_PAGES - 1) * PAGE_BYTES;
    heard[0] = '\0';
    flags_were_good = false;
    room.thread.listen = listen;
    EXPECT(exits(payload_greet, untouched, 0, 0, 0, sizeof PAYLOAD_GREETING - 1));
    EXPECT(strcmp(heard, PAYLOAD_GREETING) == 0 && flags_were_good);

    flags_were_good = false;
    traps_set(TRAP_INVALID_OPCODE, on_trap);
    room_start(&room, payload_trap_with_flags, 0);
    enum user_event event = user_run(&room.thread, 0);
    traps_set(TRAP_INVALID_OPCODE, NULL);
    EXPECT(event == USER_KILLED && flags_were_good);
    return true;
}

static bool threads_run_here(void)
{
    EXPECT(exits(payload_registers, 0, 0, 0, 0, 0));
    EXPECT(exits(payload_fill, va_number(ROOM_DATA), ROOM_DATA_PAGES - 1, 0, 0, 0));
    EXPECT(exits(payload_grow, ROOM_STACK_PAGES - 2, 0, 0, 0, 0));
    EXPECT(exits(payload_allocate, 0, 0, 0, 0, 0));
    return flags_stay_in_ring_3();
}

static bool threads_run(void)
{
    return in_room(threads_run_here);
}

/* One that never yields. A host may be so busy that a slice is over before it has begun. */
static bool slices_end_here(void)
{
    uint64_t last = 0;
    unsigned times = 0;
    room_start(&room, payload_spin, 0);
    for (unsigned i = 0; i < SLICES_MAX && times < 3; i++) {
        EXPECT(user_run(&room.thread, SLICE_USEC) == USER_SLICE_OVER);
        EXPECT(room.thread.registers.rdi >= last);
        times += room.thread.registers.rdi > last;
        last = room.thread.registers.rdi;
    }
    EXPECT(times == 3);
    return true;
}

/* Works for the thread until its time is up. */
static void listen_long(struct user_thread *thread, const char *text)
{
    listen(thread, text);
    for (unsigned i = 0;
         i < LISTEN_USEC && !__atomic_load_n(&cpu_current()->slice_over, __ATOMIC_RELAXED); i++)
        cpu_wait_usec(1);
}

/* In the middle of a system call: that ends, and then the slice does. */
static bool slices_end_in_calls_here(void)
{
    enum user_event event = USER_SLICE_OVER;
    room_start(&room, payload_greet, va_number(ROOM_DATA));
    room.thread.listen = listen_long;
    heard[0] = '\0';
    for (unsigned i = 0; i < SLICES_MAX && heard[0] == '\0' && event == USER_SLICE_OVER; i++)
        event = user_run(&room.thread, SLICE_USEC);
    EXPECT(strcmp(heard, PAYLOAD_GREETING) == 0 && event == USER_SLICE_OVER);
    EXPECT(room.thread.registers.rax == sizeof PAYLOAD_GREETING - 1);
    return true;
}

static bool slices_end(void)
{
    return clock_timer_hz() == 0 || (in_room(slices_end_here) && in_room(slices_end_in_calls_here));
}

/* --- What it cannot -------------------------------------------------------------------------- */

static bool places_are_forbidden_here(void)
{
    const struct vmm_want want = {.name = "check", .npages = 1, .prot = PROT_READ | PROT_WRITE};
    vaddr_t window = VA(0);
    EXPECT(vmm_alloc(vmm_kernel(), &want, &window) == MM_OK);
    bool good = forbidden_places(&room, window);
    vmm_free_range(window);
    EXPECT(good);
    EXPECT(forbidden_holes(&room));
    EXPECT(forbidden_keys(&room));
    return true;
}

static bool places_are_forbidden(void)
{
    return in_room(places_are_forbidden_here);
}

static bool instructions_are_forbidden_here(void)
{
    EXPECT(forbidden_instructions(&room));
    return true;
}

static bool instructions_are_forbidden(void)
{
    return in_room(instructions_are_forbidden_here);
}

static bool ends_by(const uint8_t *program, uint64_t argument, enum vmm_fault why)
{
    room_start(&room, program, argument);
    return user_run(&room.thread, 0) == USER_KILLED &&
           room.thread.registers.vector == TRAP_PAGE_FAULT && room.thread.why == why;
}

static bool stacks_end_here(void)
{
    EXPECT(ends_by(payload_skip, 0, VMM_STACK_SKIPPED));
    EXPECT(ends_by(payload_overflow, 0, VMM_GUARD_HIT));
    /* The kernel works on a stack of its own, whatever the thread's is. */
    room_start(&room, payload_wild_stack, (uint64_t)(uintptr_t)&room);
    EXPECT(user_run(&room.thread, 0) == USER_KILLED);
    EXPECT(room.thread.registers.vector == TRAP_INVALID_OPCODE);
    EXPECT(room.thread.registers.rsp == (uint64_t)(uintptr_t)&room);
    return true;
}

static bool stacks_end(void)
{
    return in_room(stacks_end_here);
}

/* A system call as the last instruction of the lower half cannot be returned to. */
static bool ends_at_the_end(uint64_t call)
{
    const vaddr_t end = VA(cpu_lower_end());
    user_start(&room.thread, va_add(end, (uint64_t)-2), VA(0));
    room.thread.registers.rax = call;
    enum user_event event = user_run(&room.thread, 0);
    if (event == USER_YIELDED)
        event = user_run(&room.thread, 0);
    EXPECT(event == USER_KILLED && room.thread.registers.vector == TRAP_GENERAL_PROTECTION);
    EXPECT(room.thread.registers.rip == va_number(end));
    return true;
}

static bool addresses_end_here(void)
{
    static const uint8_t syscall[2] = {0x0f, 0x05};
    const vaddr_t end = VA(cpu_lower_end()), last = va_add(end, (uint64_t)0 - PAGE_BYTES);
    const struct vmm_want want = {.npages = 1, .at = last, .prot = PROT_READ | PROT_WRITE};
    vaddr_t va;
    EXPECT(vmm_alloc(&room.vm, &want, &va) == MM_OK);
    EXPECT(user_copy_out(va_add(end, (uint64_t)-2), syscall, 2) == 0);
    EXPECT(vmm_protect(&room.vm, last, 1, PROT_READ | PROT_EXEC) == MM_OK);
    EXPECT(ends_at_the_end(SYS_NUMBER) && ends_at_the_end(SYS_YIELD));
    return true;
}

static bool addresses_end(void)
{
    return in_room(addresses_end_here);
}

/* --- The kernel and ring 3 ------------------------------------------------------------------- */

static bool lies_are_refused_here(void)
{
    EXPECT(kernel_believes_nothing(&room));
    return true;
}

static bool lies_are_refused(void)
{
    return in_room(lies_are_refused_here);
}

static bool copies_are_exact(void)
{
    return in_room(kernel_copies);
}

/* --- Two spaces ------------------------------------------------------------------------------ */

#define SHARE_ROUNDS 8

static struct room *const both[] = {&room, &other};

static void start_sharing(struct room *one, uint64_t number)
{
    one->thread.number = number;
    room_start(one, payload_share, number);
    one->thread.registers.rsi = SHARE_ROUNDS;
    one->thread.registers.rdx = va_number(ROOM_DATA);
    one->thread.registers.rcx = ROOM_DATA_PAGES;
}

static bool goes_on(struct user_thread *thread)
{
    enum user_event event = user_run(thread, SLICE_USEC);
    return event == USER_YIELDED || event == USER_SLICE_OVER;
}

static void run_own(unsigned number)
{
    while (goes_on(&both[number]->thread))
        ;
}

/* On two CPUs at once, or in turns on one. */
static void run_both(void)
{
    crew_choose(2);
    if (crew.n == 2) {
        crew_run(run_own);
        return;
    }
    bool first = true, second = true;
    while (first || second) {
        first = first && goes_on(&room.thread);
        second = second && goes_on(&other.thread);
    }
}

/* The same addresses, what each wrote there. */
static bool contents_are_apart(void)
{
    start_sharing(&room, 1);
    start_sharing(&other, 2);
    run_both();
    EXPECT(room.thread.event == USER_EXITED && room.thread.code == 0);
    EXPECT(other.thread.event == USER_EXITED && other.thread.code == 0);
    return true;
}

/* A page that only one of them has. */
static bool pages_are_apart(void)
{
    const struct vmm_want want = {
        .npages = 1, .at = ROOM_NOTHING, .prot = PROT_READ | PROT_WRITE, .backing = VMM_NOW};
    const uint64_t there[4] = {va_number(ROOM_NOTHING)};
    vaddr_t va;
    EXPECT(vmm_alloc(&other.vm, &want, &va) == MM_OK);
    EXPECT(room_exits(&other, payload_read, there, PAYLOAD_SURVIVED));
    EXPECT(ends_by(payload_read, va_number(ROOM_NOTHING), VMM_NOT_MAPPED));
    return true;
}

static bool spaces_are_apart_here(void)
{
    EXPECT(room_open(&other, "other"));
    bool good = contents_are_apart() && pages_are_apart();
    room_close(&other);
    return good;
}

static bool spaces_are_apart(void)
{
    return in_room(spaces_are_apart_here);
}

/* --- A copy of a space ----------------------------------------------------------------------- */

static enum user_event keep(struct room *one, vaddr_t at, uint64_t value)
{
    room_start(one, payload_keep, va_number(at));
    one->thread.registers.rsi = value;
    return user_run(&one->thread, 0);
}

static bool keeps(struct room *one, uint64_t value)
{
    return user_run(&one->thread, 0) == USER_EXITED && one->thread.code == value;
}

/* Both write to a page that they share until then; each goes on to see its own. */
static bool writers_part(struct room *first, struct room *second, vaddr_t at)
{
    EXPECT(keep(first, at, 1) == USER_YIELDED && keep(second, at, 2) == USER_YIELDED);
    EXPECT(keeps(first, 1) && keeps(second, 2));
    return true;
}

/* In the middle of a program: parent and child both go on from there, on stacks of their own. */
static bool child_goes_on(vaddr_t at)
{
    EXPECT(keep(&room, at, 7) == USER_YIELDED);
    EXPECT(vmm_clone(&room.vm, &other.vm, "child") == MM_OK);
    other.thread = room.thread;
    other.thread.vm = &other.vm;
    EXPECT(keeps(&other, 7));
    EXPECT(keep(&other, at, 8) == USER_YIELDED);
    EXPECT(keeps(&room, 7) && keeps(&other, 8));
    return true;
}

static bool copies_part_here(void)
{
    const vaddr_t second = va_add(ROOM_DATA, PAGE_BYTES), third = va_add(second, PAGE_BYTES);
    EXPECT(exits(payload_fill, va_number(second), 2, 0, 0, 0));
    EXPECT(child_goes_on(ROOM_DATA));
    bool good = writers_part(&room, &other, second) && writers_part(&other, &room, third);
    room_close(&other);
    EXPECT(good);
    return true;
}

static bool copies_part(void)
{
    return in_room(copies_part_here);
}

static const struct selfcheck user_checks[] = {
    {"ring 3: threads run, and use memory", threads_run},
    {"ring 3: time slices end", slices_end},
    {"ring 3: memory out of reach", places_are_forbidden},
    {"ring 3: instructions out of reach", instructions_are_forbidden},
    {"ring 3: stacks end where they have to", stacks_end},
    {"ring 3: the last instruction of all", addresses_end},
    {"ring 3: system calls believe nothing", lies_are_refused},
    {"ring 3: the kernel copies, and keeps out", copies_are_exact},
    {"ring 3: two spaces are apart", spaces_are_apart},
    {"ring 3: a copy and its original part", copies_part},
};
const struct selfcheck_part selfcheck_user = {user_checks,
                                              sizeof user_checks / sizeof user_checks[0]};
