/* Owns: running the self-check and its result; the checks of the CPU's state.
 * Relies on: every layer that it checks. Stage: after the take-over, at boot and on demand. */
#include "check/selfcheck.h"

#include "boot/memory.h"
#include "check/selfcheck_parts.h"
#include "console/print.h"
#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "cpu/gdt.h"
#include "layout.h"
#include "mm/mapper.h"
#include "mm/port.h"
#include "mm/string.h"
#include "tuning.h"

extern const uintptr_t __stack_chk_guard;

static struct selfcheck_result last;
static const char *failed_condition;
static int failed_line;

bool selfcheck_fail(const char *condition, int line)
{
    failed_condition = condition;
    failed_line = line;
    return false;
}

static bool protections_are_on(void)
{
    const struct cpu_info *cpu = cpu_info();
    struct cpu_control c = cpu_control();
    EXPECT(c.cr0 & CR0_WP);
    EXPECT(!cpu->nx || (c.efer & EFER_NXE));
    EXPECT(!cpu->smep || (c.cr4 & CR4_SMEP));
    EXPECT(!cpu->smap || (c.cr4 & CR4_SMAP));
    EXPECT(!cpu->umip || (c.cr4 & CR4_UMIP));
    EXPECT(!cpu->pge || (c.cr4 & CR4_PGE));
    EXPECT(!cpu->mce || (c.cr4 & CR4_MCE));
    return true;
}

static bool memory_types_are_set(void)
{
    EXPECT(!cpu_info()->pat || (cpu_read_msr(MSR_PAT) & CPU_PAT_MASK) == CPU_PAT);
    return true;
}

static bool tables_are_ours(void)
{
    paddr_t root = port_get_root();
    EXPECT(pa_eq(root, mapper_kernel_space()->root));
    EXPECT(!pa_eq(root, memory_loader_root()));
    return true;
}

static bool in_image(uint64_t address)
{
    return address - va_number(layout_image_start()) < layout_image_bytes();
}

static bool segments_are_ours(void)
{
    struct table_register gdtr, idtr;
    uint16_t task, code;
    __asm__ volatile("sgdt %0\n\tsidt %1\n\tstr %2\n\tmovw %%cs, %3"
                     : "=m"(gdtr), "=m"(idtr), "=r"(task), "=r"(code));
    EXPECT(in_image(gdtr.base));
    EXPECT(in_image(idtr.base));
    EXPECT(task == GDT_TSS);
    EXPECT(code == GDT_CODE);
    return true;
}

static bool stack_is_ours(void)
{
    uint64_t rsp = (uint64_t)(uintptr_t)__builtin_frame_address(0);
    EXPECT(cpus_in_stack(rsp, 16));
    return true;
}

static bool canary_is_random(void)
{
    EXPECT(__stack_chk_guard != 0);
    EXPECT((__stack_chk_guard & 0xff) == 0);
    return true;
}

static bool clock_advances(void)
{
    uint64_t before = cpu_tsc();
    for (unsigned i = 0; i < 1000; i++)
        __builtin_ia32_pause();
    EXPECT(cpu_tsc() > before);
    return true;
}

static bool memory_functions_work(void)
{
    uint8_t a[67], b[67];
    for (unsigned offset = 0; offset < 8; offset++) {
        size_t bytes = sizeof a - offset;
        for (unsigned i = 0; i < sizeof a; i++)
            a[i] = (uint8_t)(i * 7 + offset);
        memset(b, 0xee, sizeof b);
        memcpy(b + offset, a, bytes);
        EXPECT(memcmp(b + offset, a, bytes) == 0);
        EXPECT(offset == 0 || b[offset - 1] == 0xee);
        memmove(b, b + offset, bytes);
        EXPECT(memcmp(b, a, bytes) == 0);
        memmove(b + offset, b, bytes);
        EXPECT(memcmp(b + offset, a, bytes) == 0);
    }
    uint64_t words[9] = {0};
    memset64(words + 1, 0x0123456789abcdefull, 7);
    EXPECT(words[0] == 0 && words[8] == 0);
    EXPECT(words[1] == 0x0123456789abcdefull && words[7] == words[1]);
    EXPECT(strcmp("lime", "lime") == 0 && strcmp("lima", "lime") < 0 && strlen("lime") == 4);
    return true;
}

static const struct selfcheck checks[] = {
    {"cpu: protections are on", protections_are_on},
    {"cpu: memory types are set", memory_types_are_set},
    {"cpu: page tables are ours", tables_are_ours},
    {"cpu: segments and interrupt table are ours", segments_are_ours},
    {"cpu: stack is ours", stack_is_ours},
    {"cpu: stack canary is seeded", canary_is_random},
    {"cpu: clock advances", clock_advances},
    {"memory functions: copy, move, set, compare", memory_functions_work},
};
const struct selfcheck_part selfcheck_cpu = {checks, sizeof checks / sizeof checks[0]};

static void run_part(const struct selfcheck_part *part)
{
    for (size_t i = 0; i < part->count; i++) {
        if (part->checks[i].run()) {
            last.passed++;
            continue;
        }
        last.failed++;
        kprintf("self-check: FAILED: %s (line %d: %s)\n", part->checks[i].name, failed_line,
                failed_condition);
    }
}

struct selfcheck_result selfcheck_run(void)
{
    uint32_t sample = tuning_sample(0); /* frames are counted */
    last = (struct selfcheck_result){0, 0};
    run_part(&selfcheck_cpu);
    run_part(&selfcheck_frames);
    run_part(&selfcheck_paging);
    run_part(&selfcheck_vmm);
    run_part(&selfcheck_heap);
    run_part(&selfcheck_faults);
    run_part(&selfcheck_smp);
    run_part(&selfcheck_user);
#ifdef QL_KASAN
    run_part(&selfcheck_kasan);
#endif
    (void)tuning_sample(sample);
    kprintf("self-check: %u passed, %u failed\n", last.passed, last.failed);
    return last;
}

struct selfcheck_result selfcheck_last(void)
{
    return last;
}
