/* Owns: the failures that can be asked for.
 * Relies on: everything that it breaks. Stage: after the take-over. */
#include "check/provoke.h"

#include <stdint.h>

#include "check/user_room.h"
#include "cpu/cpus.h"
#include "layout.h"
#include "mm/heap_debug.h"
#include "mm/heap_stats.h"
#include "mm/object_cache.h"
#include "mm/pmm.h"
#include "mm/string.h"
#include "mm/vmm.h"
#include "panic/panic.h"

/* The compiler must not know that these are wrong, or it would leave them out. */
static void *hidden_pointer(uint64_t address)
{
    __asm__ volatile("" : "+r"(address));
    return (void *)(uintptr_t)address;
}

static void read_from(const volatile uint8_t *p)
{
    (void)*p;
}

static void write_to(volatile uint8_t *p)
{
    *p = 1;
}

static void plain(void)
{
    panic("asked for by the monitor");
}

static void page_fault(void)
{
    read_from(hidden_pointer(0xffffc123456789abull)); /* in the part for virtual allocations */
}

static void null_pointer(void)
{
    read_from(hidden_pointer(0x18));
}

static const uint8_t some_constant[8] = "constant";

static void write_rodata(void)
{
    write_to(hidden_pointer(va_of(some_constant).v));
}

static void write_text(void)
{
    write_to(hidden_pointer((uint64_t)(uintptr_t)write_text));
}

static void execute_data(void)
{
    static uint8_t code[16] = {0xc3}; /* ret */
    void (*function)(void) = (void (*)(void))(uintptr_t)hidden_pointer(va_of(code).v);
    function();
}

/* Ends when n wraps, long after the stack has; the compiler need not know. */
static uint64_t recurse(uint64_t n)
{
    volatile uint64_t frame[16];
    frame[n % 16] = n;
    if (n == 0)
        return 0;
    return recurse(n + 1) + frame[(n + 1) % 16];
}

static void stack_overflow(void)
{
    (void)recurse(1);
}

/* No room for any exception's frame: the stack pointer is not even canonical. */
static void double_fault(void)
{
    __asm__ volatile("movq %0, %%rsp\n\t"
                     "ud2" ::"r"(0x1234567812345678ull));
}

static void divide(void)
{
    uint32_t zero = 0;
    __asm__ volatile("xorl %%edx, %%edx\n\t"
                     "movl $1, %%eax\n\t"
                     "divl %0" ::"r"(zero)
                     : "eax", "edx");
}

static void invalid_opcode(void)
{
    __asm__ volatile("ud2");
}

static void general_protection(void)
{
    read_from(hidden_pointer(0x0123456789abcdefull)); /* not canonical */
}

/* It would be filled if a copy function asked. */
static void user_memory(void)
{
    static struct room room;
    if (!room_open(&room, "victim"))
        panic("no memory for a space");
    vmm_switch(&room.vm);
    read_from(hidden_pointer(va_number(ROOM_DATA)));
}

/* What comes last would be a jump otherwise, and leave nobody on the stack to be named. */
static void stay_on_the_stack(void)
{
    __asm__ volatile("");
}

static void heap_double_free(void)
{
    void *object = kmalloc(64);
    kfree(object);
    kfree(hidden_pointer(va_of(object).v));
    stay_on_the_stack();
}

static void heap_interior_free(void)
{
    char *object = kmalloc(64);
    kfree(hidden_pointer(va_of(object + 16).v));
    stay_on_the_stack();
}

static void heap_foreign_free(void)
{
    kfree(hidden_pointer(va_of(some_constant).v));
    stay_on_the_stack();
}

static struct object_cache *make_cache(const char *name)
{
    const struct object_cache_want want = {.name = name, .bytes = 64};
    struct object_cache *cache;
    if (object_cache_create(&want, &cache) != MM_OK)
        panic("no cache to go wrong with");
    return cache;
}

static void heap_cross_free(void)
{
    struct object_cache *one = make_cache("provoked"), *other = make_cache("another");
    object_cache_free(other, object_cache_alloc(one));
    stay_on_the_stack();
}

static void heap_overrun(void)
{
    char *object = kmalloc(3 << 19);
    write_to(hidden_pointer(va_of(object).v + kmalloc_size(object)));
}

/* An object that is sampled; the rate stays what it is made here. */
static uint8_t *sampled(void)
{
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    tuning.sample_rate = HEAP_SAMPLE_RATE_MIN;
    (void)!heap_tune(&tuning);
    for (unsigned i = 0; i < 100000; i++) {
        struct heap_origin origin;
        uint8_t *p = kmalloc(64);
        if (p && heap_get_origin(p, &origin) == MM_OK && origin.sampled)
            return p;
        kfree(p);
    }
    panic("no object was sampled");
}

static void heap_sampled_freed(void)
{
    uint8_t *p = sampled();
    kfree(p);
    read_from(hidden_pointer(va_of(p).v + 3));
}

/* Against the end of its page, or against the start. */
static void heap_sampled_overrun(void)
{
    uint8_t *p = sampled();
    bool at_start = va_of(p).v % PAGE_BYTES == 0;
    write_to(hidden_pointer(va_of(p).v + (at_start ? -1ull : 64)));
}

static void heap_execute(void)
{
    char *object = kmalloc(64);
    ((void (*)(void))(uintptr_t)hidden_pointer(va_of(object + 12).v))();
}

static void frame_double_free(void)
{
    paddr_t frame;
    if (pmm_alloc_frame(&frame) != MM_OK)
        panic("no frame to free twice");
    (void)pmm_free_frame(frame);
    (void)pmm_free_frame(frame);
}

/* A kernel range of two pages, "provoked", to go wrong with. */
static vaddr_t make_range(prot_t prot, enum vmm_backing backing)
{
    const struct vmm_want want = {
        .name = "provoked", .npages = 2, .prot = prot, .backing = backing};
    vaddr_t va;
    if (vmm_alloc(vmm_kernel(), &want, &va) != MM_OK)
        panic("no range to go wrong with");
    return va;
}

static void range_guard(void)
{
    vaddr_t va = make_range(PROT_READ | PROT_WRITE, VMM_NOW);
    write_to(hidden_pointer(va_number(va) - 8));
}

static void range_overrun(void)
{
    vaddr_t va = make_range(PROT_READ | PROT_WRITE, VMM_NOW);
    write_to(hidden_pointer(va_number(va) + 2 * PAGE_BYTES + 4));
}

static void range_freed(void)
{
    vaddr_t va = make_range(PROT_READ | PROT_WRITE, VMM_NOW);
    vmm_free_range(va);
    read_from(hidden_pointer(va_number(va) + PAGE_BYTES + 4));
}

static void range_read_only(void)
{
    vaddr_t va = make_range(PROT_READ, VMM_LAZY);
    read_from(hidden_pointer(va_number(va)));
    write_to(hidden_pointer(va_number(va)));
}

static void range_reserved(void)
{
    vaddr_t va = make_range(PROT_READ | PROT_WRITE, VMM_RESERVED);
    read_from(hidden_pointer(va_number(va)));
}

static void range_double_free(void)
{
    vaddr_t va = make_range(PROT_READ | PROT_WRITE, VMM_NOW);
    vmm_free_range(va);
    vmm_free_range(va);
}

static const struct provocation provocations[] = {
    {"plain", "a plain panic", plain},
    {"page-fault", "read an address that nothing is mapped at", page_fault},
    {"null", "read through a null pointer", null_pointer},
    {"write-rodata", "write to read-only data", write_rodata},
    {"write-text", "write to the kernel's text", write_text},
    {"execute-data", "jump into data", execute_data},
    {"stack-overflow", "recurse into the guard page", stack_overflow},
    {"double-fault", "raise an exception without a stack", double_fault},
    {"divide", "divide by zero", divide},
    {"invalid-opcode", "execute ud2", invalid_opcode},
    {"gp", "read a non-canonical address", general_protection},
    {"user-memory", "read memory of ring 3, but not to copy it", user_memory},
    {"heap-double-free", "free a heap object twice", heap_double_free},
    {"heap-interior-free", "free the middle of a heap object", heap_interior_free},
    {"heap-foreign-free", "free what is not the heap's", heap_foreign_free},
    {"heap-cross-free", "free an object to a cache that is not its own", heap_cross_free},
    {"heap-overrun", "write behind a large heap object", heap_overrun},
    {"heap-sampled-freed", "read from a sampled heap object that was freed", heap_sampled_freed},
    {"heap-sampled-overrun", "write beside a sampled heap object", heap_sampled_overrun},
    {"heap-execute", "jump into a heap object", heap_execute},
    {"frame-double-free", "free a frame twice", frame_double_free},
    {"range-guard", "write in front of a kernel range", range_guard},
    {"range-overrun", "write behind a kernel range", range_overrun},
    {"range-freed", "read from a kernel range that was freed", range_freed},
    {"range-read-only", "write to a kernel range that is read-only", range_read_only},
    {"range-reserved", "read from a kernel range without memory", range_reserved},
    {"range-double-free", "free a kernel range twice", range_double_free},
};
#define PROVOCATIONS (sizeof provocations / sizeof provocations[0])

const struct provocation *panic_provocation(unsigned i)
{
    return i < PROVOCATIONS ? &provocations[i] : kasan_provocation(i - PROVOCATIONS);
}

static const struct provocation *find(const char *kind, size_t length)
{
    if (length == 0)
        return &provocations[0];
    const struct provocation *p;
    for (unsigned i = 0; (p = panic_provocation(i)) != NULL; i++)
        if (strlen(p->name) == length && strncmp(kind, p->name, length) == 0)
            return p;
    return NULL;
}

/* "cpu=N", blanks around it; this CPU if there is nothing. False: that is something else. */
static bool parse_cpu(const char *text, unsigned *cpu)
{
    const char prefix[] = "cpu=";
    *cpu = cpu_current()->id;
    while (*text == ' ')
        text++;
    if (*text == '\0')
        return true;
    if (strncmp(text, prefix, sizeof prefix - 1) != 0)
        return false;
    text += sizeof prefix - 1;
    bool digits = *text >= '0' && *text <= '9';
    for (*cpu = 0; *text >= '0' && *text <= '9' && *cpu < CONFIG_CPUS_MAX; text++)
        *cpu = *cpu * 10 + (unsigned)(*text - '0');
    while (*text == ' ')
        text++;
    return digits && *text == '\0';
}

static void provoke(void *provocation)
{
    ((const struct provocation *)provocation)->function();
}

void panic_provoke(const char *what)
{
    size_t length = 0;
    while (what && what[length] != '\0' && what[length] != ' ')
        length++;
    const struct provocation *provocation = find(what, length);
    unsigned cpu;
    if (!provocation || !parse_cpu(what ? what + length : "", &cpu))
        return;
    if (cpu == cpu_current()->id)
        provocation->function();
    else if (cpus_run(cpu, provoke, (void *)(uintptr_t)provocation)) /* which nobody writes to */
        cpus_wait(cpu);                                              /* where the panic stops us */
    else
        kprintf("CPU %u is not there, or busy.\n", cpu);
}
