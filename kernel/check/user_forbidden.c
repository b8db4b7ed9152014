/* Owns: the attempts of ring 3 at what it must not do.
 * Relies on: user_room.c. Stage: after user_init. */
#include "check/user_forbidden.h"

#include "console/print.h"
#include "console/style.h"
#include "cpu/cpu.h"
#include "cpu/gdt.h"
#include "mm/hhdm.h"
#include "mm/port.h"
#include "user/syscall.h"

#define GP        TRAP_GENERAL_PROTECTION
#define UD        TRAP_INVALID_OPCODE
#define PF        TRAP_PAGE_FAULT
#define ANY_ERROR 0xffff

/* What is tried, and the exception that has to come: one of two vectors, where CPUs differ. */
struct attempt {
    const char *name, *how;
    const uint8_t *program;
    uint8_t vector, or_vector;
    uint16_t error;
};

static bool loud; /* say how each ended */

static bool is_killed(struct room *room, const struct attempt *try, uint64_t argument)
{
    char words[128];
    const struct trap_frame *at = &room->thread.registers;
    room_start(room, try->program, argument);
    enum user_event event = user_run(&room->thread, 0);
    bool good = event == USER_KILLED &&
                (at->vector == try->vector || at->vector == try->or_vector) &&
                (at->error == try->error || try->error == ANY_ERROR);
    if (good && !loud)
        return true;
    user_describe(&room->thread, words, sizeof words);
    kprintf("  %s%-24s %-5s" STYLE_PLAIN " %s\n", good ? STYLE_DIM : STYLE_BAD, try->name, try->how,
            event == USER_KILLED ? words : "was not stopped");
    if (!good)
        kprintf("  expected: vector %u, error code 0x%x; error code 0x%lx\n", try->vector,
                try->error, at->error);
    return good;
}

/* --- Addresses ------------------------------------------------------------------------------- */

enum { READ = 1, WRITE = 2, JUMP = 4, ALL = 7 };

/* An address, what is tried there, what the error code has to say beside how it was done. */
struct place {
    const char *name;
    vaddr_t address;
    unsigned ways;
    uint16_t error;
    enum vmm_fault why;
};

static int kernel_word = 1;

/* Registers, or a framebuffer; 0 if the machine has neither. */
static vaddr_t find_device(void)
{
    struct vmm_run run;
    vaddr_t at = VA(VMM_DEVICE_BASE);
    while (vmm_next(vmm_kernel(), &at, &run) == MM_OK && va_lt(run.va, VA(VMM_DEVICE_END)))
        if (run.kind == VMM_IS_PAGE && run.cache != CACHE_WB)
            return run.va;
    return VA(0);
}

static bool is_out_of_reach(struct room *room, const struct place *place)
{
    /* A fetch is only told apart by CPUs that treat it apart. */
    const uint16_t fetch = cpu_info()->nx || cpu_info()->smep ? FAULT_FETCH : 0;
    const uint16_t error = place->error | FAULT_USER;
    const struct attempt tries[] = {
        {place->name, "read", payload_read, PF, PF, error},
        {place->name, "write", payload_write, PF, PF, error | FAULT_WRITE},
        {place->name, "jump", payload_jump, PF, PF, error | fetch},
    };
    bool good = true;
    for (unsigned i = 0; i < sizeof tries / sizeof tries[0]; i++)
        if (place->ways & 1u << i)
            good &= is_killed(room, &tries[i], va_number(place->address)) &&
                    room->thread.address == va_number(place->address) &&
                    room->thread.why == place->why;
    return good;
}

static vaddr_t below(vaddr_t va, uint64_t bytes)
{
    return va_add(va, (uint64_t)0 - bytes);
}

bool forbidden_places(struct room *room, vaddr_t window)
{
    const uint16_t p = FAULT_PRESENT;
    const unsigned jump = port_cpu()->nx ? JUMP : 0;
    const vaddr_t stack_end = va_add(ROOM_STACK, ROOM_STACK_PAGES * PAGE_BYTES);
    const struct place places[] = {
        {"kernel text", VA((uint64_t)(uintptr_t)forbidden_places), ALL, p, VMM_FORBIDDEN},
        {"kernel constants", va_of(payload), ALL, p, VMM_FORBIDDEN},
        {"kernel data", va_of(&kernel_word), ALL, p, VMM_FORBIDDEN},
        {"direct map", va_of(phys_to_virt(room->vm.space.root)), ALL, p, VMM_FORBIDDEN},
        {"device", find_device(), ALL, p, VMM_FORBIDDEN},
        {"kernel window", window, ALL, p, VMM_FORBIDDEN},
        {"kernel window, guard", below(window, 8), ALL, 0, VMM_FORBIDDEN},
        {"end of all addresses", VA(UINT64_MAX), READ | WRITE, 0, VMM_FORBIDDEN},
        {"first page", VA(8), ALL, 0, VMM_NOT_MAPPED},
        {"no range", ROOM_NOTHING, ALL, 0, VMM_NOT_MAPPED},
        {"reserved range", ROOM_ASIDE, ALL, 0, VMM_IS_RESERVED},
        {"stack guard", va_add(ROOM_STACK, 8), ALL, 0, VMM_GUARD_HIT},
        {"own text", ROOM_TEXT, WRITE, p, VMM_FORBIDDEN},
        {"own constants", ROOM_CONSTANT, WRITE, p, VMM_FORBIDDEN},
        {"own data", ROOM_DATA, jump, p, VMM_FORBIDDEN},
        {"own stack", below(stack_end, 8), jump, p, VMM_FORBIDDEN},
    };
    const uint64_t data[4] = {va_number(ROOM_DATA)}, constant[4] = {va_number(ROOM_CONSTANT)};
    bool good = room_exits(room, payload_read, data, PAYLOAD_SURVIVED) &&
                room_exits(room, payload_read, constant, PAYLOAD_SURVIVED);
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++)
        if (!va_eq(places[i].address, VA(0))) /* a machine may have no device */
            good &= is_out_of_reach(room, &places[i]);
    return good;
}

bool forbidden_holes(struct room *room)
{
    static const struct attempt tries[] = {
        {"not canonical", "read", payload_read, GP, GP, 0},
        {"not canonical", "write", payload_write, GP, GP, 0},
        {"not canonical", "jump", payload_jump, GP, GP, 0},
    };
    const uint64_t end = cpu_lower_end();
    bool good = true;
    for (unsigned i = 0; i < sizeof tries / sizeof tries[0]; i++)
        good &= is_killed(room, &tries[i], end) && is_killed(room, &tries[i], ~end);
    return good;
}

/* The rights on keys are in a register that the program sets itself. */
bool forbidden_keys(struct room *room)
{
    enum { KEY = 5 };
    const struct vmm_want want = {
        .npages = 1, .prot = PROT_READ | PROT_WRITE | PROT_KEY(KEY), .backing = VMM_LAZY};
    const struct attempt read = {"own key", "read", payload_forbid_and_read,
                                 PF,        PF,     FAULT_PRESENT | FAULT_USER | FAULT_KEY};
    vaddr_t va;
    if (!port_cpu()->pkeys)
        return true;
    if (vmm_alloc(&room->vm, &want, &va) != MM_OK)
        return false;
    const uint64_t there[4] = {va_number(va)};
    bool good = room_exits(room, payload_read, there, PAYLOAD_SURVIVED) &&
                is_killed(room, &read, va_number(va)) && room->thread.pkru == PAYLOAD_NO_KEYS;
    /* The kernel's copies for the thread have no more rights than the thread. */
    room_start(room, payload_call, SYS_WRITE);
    room->thread.registers.rsi = va_number(va);
    room->thread.registers.rdx = 1;
    room->thread.pkru = PAYLOAD_NO_KEYS;
    return good && user_run(&room->thread, 0) == USER_EXITED &&
           room->thread.code == (uint64_t)0 - MM_NOTFOUND;
}

/* --- Instructions ---------------------------------------------------------------------------- */

static const struct attempt instructions[] = {
    {"cli", "", payload_cli, GP, GP, 0},
    {"sti", "", payload_sti, GP, GP, 0},
    {"hlt", "", payload_hlt, GP, GP, 0},
    {"mov from cr3", "", payload_read_cr, GP, GP, 0},
    {"mov to cr3", "", payload_write_cr, GP, GP, 0},
    {"mov from dr7", "", payload_read_dr, GP, GP, 0},
    {"in", "", payload_in, GP, GP, 0},
    {"out", "", payload_out, GP, GP, 0},
    {"rdmsr", "", payload_rdmsr, GP, GP, 0},
    {"wrmsr", "", payload_wrmsr, GP, GP, 0},
    {"lgdt", "", payload_lgdt, GP, GP, 0},
    {"lidt", "", payload_lidt, GP, GP, 0},
    {"ltr", "", payload_ltr, GP, GP, 0},
    {"lmsw", "", payload_lmsw, GP, GP, 0},
    {"invlpg", "", payload_invlpg, GP, GP, 0},
    {"wbinvd", "", payload_wbinvd, GP, GP, 0},
    {"clts", "", payload_clts, GP, GP, 0},
    {"swapgs", "", payload_swapgs, GP, GP, 0},
    {"sysret", "", payload_sysret, GP, GP, 0},
    {"rdpmc", "", payload_rdpmc, GP, GP, 0},
    {"stac", "", payload_stac, UD, UD, 0},
    {"wrgsbase", "", payload_wrgsbase, UD, UD, 0},
    {"ud2", "", payload_ud2, UD, UD, 0},
    {"fld1", "", payload_fpu, TRAP_NO_FPU, TRAP_NO_FPU, 0},
    {"divide by zero", "", payload_divide, TRAP_DIVIDE, TRAP_DIVIDE, 0},
    {"single step", "", payload_step, TRAP_DEBUG, TRAP_DEBUG, 0},
    {"single step into a call", "", payload_step_into_call, TRAP_DEBUG, TRAP_DEBUG, 0},
    {"kernel selector in ss", "", payload_load_ss, GP, GP, GDT_DATA},
    {"kernel selector in gs", "", payload_load_gs, GP, GP, GDT_DATA},
    {"sysenter", "", payload_sysenter, GP, UD, 0}, /* AMD's have none */
    {"xorps", "", payload_sse, TRAP_NO_FPU, UD, 0},
    /* QEMU's have no icebp, other error codes for int, and page faults of SMAP for returns. */
    {"icebp", "", payload_icebp, TRAP_DEBUG, UD, 0},
    {"int 0x80", "", payload_int, GP, GP, ANY_ERROR},
    {"int3", "", payload_int3, GP, GP, ANY_ERROR},
    {"far return to ring 0", "", payload_far_return, GP, PF, ANY_ERROR},
    {"iret to ring 0", "", payload_interrupt_return, GP, PF, ANY_ERROR},
};

/* They only tell something. UMIP has them end threads. */
static const struct attempt tellers[] = {
    {"sgdt", "", payload_sgdt, GP, GP, 0}, {"sidt", "", payload_sidt, GP, GP, 0},
    {"sldt", "", payload_sldt, GP, GP, 0}, {"str", "", payload_str, GP, GP, 0},
    {"smsw", "", payload_smsw, GP, GP, 0},
};

bool forbidden_instructions(struct room *room)
{
    bool good = true;
    for (unsigned i = 0; i < sizeof instructions / sizeof instructions[0]; i++)
        good &= is_killed(room, &instructions[i], 0);
    for (unsigned i = 0; cpu_info()->umip && i < sizeof tellers / sizeof tellers[0]; i++)
        good &= is_killed(room, &tellers[i], 0);
    return good;
}

void forbidden_show(void)
{
    static struct room room;
    const struct vmm_want want = {.name = "attempt", .npages = 1, .prot = PROT_READ | PROT_WRITE};
    vaddr_t window;
    if (vmm_alloc(vmm_kernel(), &want, &window) != MM_OK)
        return;
    if (room_open(&room, "attempts")) {
        loud = true;
        bool good = forbidden_places(&room, window);
        good &= forbidden_holes(&room);
        good &= forbidden_keys(&room);
        good &= forbidden_instructions(&room);
        loud = false;
        room_close(&room);
        kprintf("%s\n", good ? "Every attempt ended as it has to."
                             : STYLE_BAD "Not every attempt ended as it has to." STYLE_PLAIN);
    }
    vmm_free_range(window);
}
