/* A QEMU plugin that counts the guest's instructions, each by its address, between marks: the first
 * instruction of the EFI file, the first of the kernel, and addresses in the kernel. A step of a
 * repeated string instruction counts as an instruction. See boot.py.
 *
 * Arguments: out=FILE, stub=HEX and loader=HEX (the bytes at their entries, which tell them from all
 * else), and mark=ADDRESS, ascending in time, as linked: the first is the kernel's entry.
 * The interface is that of Debian 12's QEMU, version 1; no package has its header. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*run_callback)(unsigned cpu, void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
                                           void (*f)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, run_callback f,
                                            int registers, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int add,
                                                void *number, uint64_t value);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

int qemu_plugin_version = 1;
int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);

#define KERNEL_WINDOW 0xffffffff80000000ull
#define COUNTERS      (1u << 22) /* a hash table, a few times larger than what a boot runs */
#define MARKS         8

static struct counter {
    uint64_t address, count;
} counters[COUNTERS];
static uint64_t marks[MARKS], nmarks, reached; /* reached: 1 is the stub's entry */
static uint64_t slide;                         /* 0: not known yet */
static struct program {
    uint64_t entry; /* 0: not known yet */
    uint8_t signature[64];
    size_t bytes;
} stub, loader;
static FILE *out;

static uint64_t *counter_of(uint64_t address)
{
    uint64_t i = address * 0x9e3779b97f4a7c15ull >> 42;
    while (counters[i].address && counters[i].address != address)
        i = (i + 1) % COUNTERS;
    counters[i].address = address;
    return &counters[i].count;
}

/* Write what was counted since the mark before, kernel's addresses as linked, and begin again. */
static void at_mark(unsigned cpu, void *data)
{
    (void)cpu;
    if ((uintptr_t)data != reached)
        return;
    if (reached++ > 0)
        fprintf(out, "mark %" PRIx64 " %" PRIx64 "\n", stub.entry, loader.entry);
    for (size_t i = 0; i < COUNTERS; i++) {
        uint64_t at = counters[i].address;
        if (reached > 1 && counters[i].count)
            fprintf(out, "%" PRIx64 " %" PRIu64 "\n", at >= KERNEL_WINDOW ? at - slide : at,
                    counters[i].count);
        counters[i].count = 0;
    }
    fflush(out);
}

static bool is_entry(const struct program *of, const struct qemu_plugin_tb *tb, size_t i, size_t n)
{
    size_t have = 0;
    for (; i < n && have < of->bytes; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        size_t bytes = qemu_plugin_insn_size(insn);
        if (have + bytes > of->bytes ||
            memcmp(qemu_plugin_insn_data(insn), of->signature + have, bytes) != 0)
            return false;
        have += bytes;
    }
    return have == of->bytes;
}

static void look_for(struct program *program, const struct qemu_plugin_tb *tb, size_t i, size_t n)
{
    if (!program->entry && is_entry(program, tb, i, n))
        program->entry = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, i));
}

static void read_signature(struct program *program, const char *hex)
{
    for (; *hex && program->bytes < sizeof program->signature; hex += 2)
        sscanf(hex, "%2hhx", &program->signature[program->bytes++]);
}

static void translate(uint64_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t at = qemu_plugin_insn_vaddr(insn);
        look_for(&stub, tb, i, n);
        if (stub.entry)
            look_for(&loader, tb, i, n);
        static bool slid;
        if (reached == 1 && !slid && at >= KERNEL_WINDOW) {
            slide = at - marks[0]; /* the first of it that runs is its entry */
            slid = true;
        }
        if (at == stub.entry)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, at_mark, 0, NULL);
        for (uint64_t m = 0; slid && m < nmarks; m++)
            if (at == marks[m] + slide)
                qemu_plugin_register_vcpu_insn_exec_cb(insn, at_mark, 0,
                                                       (void *)(uintptr_t)(m + 1));
        qemu_plugin_register_vcpu_insn_exec_inline(insn, 0, counter_of(at), 1);
    }
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        const char *value = strchr(argv[i], '=') + 1;
        if (argv[i][0] == 'o')
            out = fopen(value, "w");
        if (argv[i][0] == 'm' && nmarks < MARKS)
            marks[nmarks++] = strtoull(value, NULL, 16);
        if (argv[i][0] == 's')
            read_signature(&stub, value);
        if (argv[i][0] == 'l')
            read_signature(&loader, value);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    return out == NULL;
}
