/* Owns: what a room of ring 3 looks like.
 * Relies on: vmm, user/. Stage: after user_init. */
#include "check/user_room.h"

#include "console/print.h"
#include "user/copy.h"

static vaddr_t stack_top(void)
{
    return va_add(ROOM_STACK, ROOM_STACK_PAGES * PAGE_BYTES);
}

static mm_status_t add(struct vm *vm, vaddr_t at, uint64_t npages, prot_t prot,
                       enum vmm_backing backing)
{
    vaddr_t va;
    const struct vmm_want want = {.npages = npages, .at = at, .prot = prot, .backing = backing};
    return vmm_alloc(vm, &want, &va);
}

/* Written first, executable afterwards. */
static mm_status_t add_text(struct vm *vm)
{
    struct vm *before = vmm_current();
    mm_status_t status = add(vm, ROOM_TEXT, 1, PROT_READ | PROT_WRITE, VMM_LAZY);
    if (status != MM_OK)
        return status;
    vmm_switch(vm);
    if (user_copy_out(ROOM_TEXT, payload, (size_t)(payload_end - payload)) != 0)
        status = MM_NOMEM;
    vmm_switch(before);
    return status == MM_OK ? vmm_protect(vm, ROOM_TEXT, 1, PROT_READ | PROT_EXEC) : status;
}

bool room_open(struct room *room, const char *name)
{
    struct vm *vm = &room->vm;
    const prot_t rw = PROT_READ | PROT_WRITE;
    room->thread = (struct user_thread){.vm = vm};
    if (vmm_create(vm, name) != MM_OK)
        return false;
    if (add_text(vm) == MM_OK && add(vm, ROOM_DATA, ROOM_DATA_PAGES, rw, VMM_LAZY) == MM_OK &&
        add(vm, ROOM_CONSTANT, 1, PROT_READ, VMM_LAZY) == MM_OK &&
        add(vm, ROOM_ASIDE, 1, rw, VMM_RESERVED) == MM_OK &&
        add(vm, ROOM_STACK, ROOM_STACK_PAGES, rw, VMM_STACK) == MM_OK)
        return true;
    vmm_destroy(vm);
    return false;
}

void room_close(struct room *room)
{
    vmm_destroy(&room->vm);
}

void room_start(struct room *room, const uint8_t *program, uint64_t argument)
{
    user_start(&room->thread, va_add(ROOM_TEXT, (uint64_t)(program - payload)), stack_top());
    room->thread.registers.rdi = argument;
}

bool room_runs(struct room *room, const uint8_t *program, const uint64_t arguments[4])
{
    char words[128];
    struct trap_frame *registers = &room->thread.registers;
    room_start(room, program, arguments[0]);
    registers->rsi = arguments[1];
    registers->rdx = arguments[2];
    registers->rcx = arguments[3];
    enum user_event event;
    do
        event = user_run(&room->thread, 0);
    while (event == USER_YIELDED);
    if (event == USER_EXITED)
        return true;
    user_describe(&room->thread, words, sizeof words);
    kprintf("ring 3: the program at 0x%lx: %s\n", (uint64_t)(program - payload), words);
    return false;
}

bool room_exits(struct room *room, const uint8_t *program, const uint64_t arguments[4],
                uint64_t code)
{
    if (!room_runs(room, program, arguments))
        return false;
    if (room->thread.code != code)
        kprintf("ring 3: the program at 0x%lx: code 0x%lx (expected 0x%lx)\n",
                (uint64_t)(program - payload), room->thread.code, code);
    return room->thread.code == code;
}
