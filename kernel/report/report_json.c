/* Owns: the report for programs; its shape is documented in report.h.
 * Relies on: json.c, the statistics of each layer. Stage: after the memory take-over. */
#include "bench/bench.h"
#include "boot/context.h"
#include "boot/memory.h"
#include "check/selfcheck.h"
#include "check/stress.h"
#include "console/print.h"
#include "console/serial.h"
#include "cpu/clock.h"
#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "firmware/nodes.h"
#include "firmware/runtime.h"
#include "layout.h"
#include "mm/mapper.h"
#include "mm/pmm.h"
#include "mm/vmm.h"
#include "ranges.h"
#include "report/facts.h"
#include "report/json.h"
#include "report/report.h"
#include "report/report_parts.h"
#include "version.h"

static void add_firmware(struct json *json)
{
    const struct runtime_firmware *firmware = runtime_firmware();
    char uefi[16];

    json_begin_object(json, "firmware");
    json_string(json, "type", facts_firmware_type());
    json_string(json, "vendor", firmware->vendor);
    json_number(json, "revision", firmware->revision);
    json_string(json, "uefi", facts_uefi_version(uefi, sizeof uefi));
    json_end(json);
}

static void add_loader(struct json *json)
{
    const struct boot_context *context = boot_context();

    json_begin_object(json, "loader");
    json_string(json, "name", context->loader_name);
    json_string(json, "version", context->loader_version);
    json_number(json, "base_revision", context->base_revision);
    json_string(json, "cmdline", context->cmdline);
    json_end(json);
}

static void add_cpu(struct json *json)
{
    const struct cpu_info *cpu = cpu_info();
    char protections[64];

    cpu_protections(protections, sizeof protections);
    json_begin_object(json, "cpu");
    json_string(json, "vendor", cpu->vendor);
    json_string(json, "name", cpu->name);
    json_number(json, "family", cpu->family);
    json_number(json, "model", cpu->model);
    json_number(json, "stepping", cpu->stepping);
    json_number(json, "phys_bits", cpu->phys_bits);
    json_number(json, "virt_bits", cpu->virt_bits);
    json_string(json, "protections", protections);
    json_hex(json, "cr4", cpu_control().cr4);
    json_number(json, "tsc_hz", cpu_tsc_hz());
    json_string(json, "tsc_source", clock_source_name());
    json_end(json);
}

static void add_cpus(struct json *json)
{
    json_begin_array(json, "cpus");
    for (unsigned id = 0; id < cpus_count(); id++) {
        const struct cpu *cpu = cpus_get(id);
        json_begin_object(json, NULL);
        json_number(json, "id", id);
        json_number(json, "lapic_id", cpu->lapic_id);
        json_number(json, "acpi_uid", cpu->acpi_uid);
        json_number(json, "node", cpu->node);
        json_string(json, "state", facts_cpu_state(cpu->state));
        json_end(json);
    }
    json_end(json);
}

static void add_orders(struct json *json, uint32_t node)
{
    uint64_t orders[PMM_ORDER_BLOCK + 1];

    pmm_get_order_stats(node, orders);
    json_begin_array(json, "free_by_order");
    for (unsigned order = 0; order <= PMM_ORDER_BLOCK; order++)
        json_number(json, NULL, orders[order]);
    json_end(json);
}

static void add_nodes(struct json *json)
{
    json_begin_array(json, "nodes");
    for (unsigned node = 0; node < nodes_count(); node++) {
        struct pmm_node_stats frames;

        pmm_get_node_stats(node, &frames);
        json_begin_object(json, NULL);
        json_number(json, "id", node);
        json_number(json, "memory_bytes", nodes_memory_bytes(node));
        json_begin_object(json, "frames");
        json_number(json, "total", frames.total_kib / 4);
        json_number(json, "free", frames.free_kib / 4);
        add_orders(json, node);
        json_end(json);
        json_begin_array(json, "distances");
        for (unsigned to = 0; to < nodes_count(); to++)
            json_number(json, NULL, nodes_distance(node, to));
        json_end(json);
        json_end(json);
    }
    json_end(json);
}

static void add_memory(struct json *json)
{
    struct facts_memory memory;
    size_t n;
    const struct mem_region *map = memory_map(&n);

    json_begin_array(json, "memory_map");
    for (size_t i = 0; i < n; i++) {
        json_begin_object(json, NULL);
        json_number(json, "base", pa_number(map[i].base));
        json_number(json, "length", map[i].bytes);
        json_number(json, "type", map[i].type);
        json_string(json, "name", mem_type_name(map[i].type));
        json_end(json);
    }
    json_end(json);

    facts_memory(&memory);
    json_begin_object(json, "ram");
    json_number(json, "total_bytes", memory.ram_bytes);
    json_number(json, "usable_bytes", memory.usable_bytes);
    json_end(json);
}

static void add_framebuffer(struct json *json)
{
    const struct boot_context *context = boot_context();

    if (!context->have_framebuffer) {
        json_null(json, "framebuffer");
        return;
    }
    json_begin_object(json, "framebuffer");
    json_number(json, "base", pa_number(context->framebuffer.base));
    json_number(json, "width", context->framebuffer.width);
    json_number(json, "height", context->framebuffer.height);
    json_number(json, "pitch", context->framebuffer.pitch);
    json_number(json, "bpp", 32);
    json_end(json);
}

static void add_kernel(struct json *json)
{
    const struct boot_context *context = boot_context();

    json_begin_object(json, "kernel");
    json_hex(json, "va", va_number(context->image_va));
    json_number(json, "pa", pa_number(context->image_pa));
    json_number(json, "bytes", layout_image_bytes());
    json_end(json);
}

static void add_pages(struct json *json, const struct facts_pages *pages)
{
    json_number(json, "pages_4k", pages->pages_4k);
    json_number(json, "pages_2m", pages->pages_2m);
    json_number(json, "pages_1g", pages->pages_1g);
    json_number(json, "on_touch", pages->on_touch);
    json_number(json, "reserved", pages->reserved);
}

static void add_ranges(struct json *json)
{
    json_begin_array(json, "ranges");
    for (struct range range = {0}; ranges_next(&range);) {
        struct facts_range facts;

        facts_range(&range, &facts);
        json_begin_object(json, NULL);
        json_string(json, "name", range.name);
        json_hex(json, "va", va_number(range.va));
        if (facts.contiguous)
            json_number(json, "pa", pa_number(facts.pa));
        else
            json_null(json, "pa");
        json_number(json, "bytes", range.npages * PAGE_BYTES);
        json_string(json, "prot", facts_prot(facts.prot));
        json_string(json, "cache", facts_cache(facts.cache));
        json_bool(json, "allocated", range.allocated);
        if (range.allocated)
            add_pages(json, &facts.pages);
        json_end(json);
    }
    json_end(json);
}

static void add_spaces(struct json *json)
{
    json_begin_array(json, "spaces");
    for (struct vm *vm = vmm_kernel(); vm; vm = vm->next) {
        struct facts_pages pages;

        facts_space(vm, &pages);
        json_begin_object(json, NULL);
        json_string(json, "name", vm->name);
        json_number(json, "tables", vm->space.ntables);
        add_pages(json, &pages);
        json_number(json, "owned", pages.owned);
        json_number(json, "shared", pages.shared);
        json_number(json, "faults", vm->faults);
        json_end(json);
    }
    json_end(json);
}

static void add_vmm_audit(struct json *json)
{
    struct vmm_audit audit;
    bool good;

    if (vmm_audit(&audit, &good) != MM_OK) {
        json_null(json, "vmm_audit");
        return;
    }
    json_begin_object(json, "vmm_audit");
    json_number(json, "spaces", audit.spaces);
    json_number(json, "tables", audit.tables);
    json_number(json, "pages_4k", audit.pages_4k);
    json_number(json, "pages_2m", audit.pages_2m);
    json_number(json, "pages_1g", audit.pages_1g);
    json_number(json, "owned", audit.owned);
    json_number(json, "shared", audit.shared);
    json_number(json, "writable_executable", audit.writable_executable);
    json_number(json, "user_in_kernel", audit.user_in_kernel);
    json_number(json, "mapped_twice", audit.mapped_twice);
    json_number(json, "miscounted", audit.miscounted);
    json_number(json, "not_in_use", audit.not_in_use);
    json_end(json);
}

static void add_page_tables(struct json *json)
{
    struct mapper_audit audit;

    (void)mapper_audit(mapper_kernel_space(), &audit);
    json_begin_object(json, "page_tables");
    json_number(json, "levels", mapper_kernel_space()->levels);
    json_number(json, "tables", mapper_kernel_space()->ntables);
    json_number(json, "pages_4k", audit.pages_4k);
    json_number(json, "pages_2m", audit.pages_2m);
    json_number(json, "pages_1g", audit.pages_1g);
    json_number(json, "writable_executable", audit.writable_executable);
    json_number(json, "user", audit.user_accessible);
    json_number(json, "outside_ranges", audit.outside_ranges);
    json_number(json, "mismatched", audit.mismatched);
    json_end(json);
}

static void add_allocators(struct json *json, struct pmm_stats frames)
{
    json_begin_object(json, "frames");
    json_number(json, "total", frames.total_kib / 4);
    json_number(json, "used", frames.used_kib / 4);
    json_number(json, "free", frames.free_kib / 4);
    json_number(json, "total_kib", frames.total_kib);
    json_number(json, "used_kib", frames.used_kib);
    json_number(json, "free_kib", frames.free_kib);
    json_number(json, "metadata_kib", frames.metadata_kib);
    json_number(json, "cached_kib", frames.cached_kib);
    json_number(json, "retired_kib", frames.retired_kib);
    add_orders(json, PMM_ALL_NODES);
    json_number(json, "init_nsec", memory_frames_nsec());
    json_end(json);
    report_json_heap(json);
}

static void add_results(struct json *json)
{
    struct facts_boot boot = facts_boot();
    struct selfcheck_result result = selfcheck_last();
    struct stress_result stress = stress_total();

    json_begin_object(json, "boot_usec");
    json_number(json, "loader", boot.loader_usec);
    json_number(json, "kernel", boot.kernel_usec);
    json_end(json);
    json_begin_object(json, "self_check");
    json_number(json, "passed", result.passed);
    json_number(json, "failed", result.failed);
    json_end(json);
    json_begin_object(json, "stress");
    json_number(json, "passed", stress.passed);
    json_number(json, "failed", stress.failed);
    json_end(json);
    json_begin_object(json, "bench");
    json_number(json, "failed", bench_failures());
    json_end(json);
}

void report_json(void)
{
    struct json json = {.write = serial_write};
    struct pmm_stats frames;

    pmm_get_stats(&frames); /* first: to count by order takes from the CPUs what they keep */
    print_take_serial();    /* the line is one, whatever other CPUs have to say */
    json_begin_object(&json, NULL);
    json_string(&json, "quicklime", QL_VERSION);
    json_string(&json, "version", QL_VERSION);
    add_firmware(&json);
    add_loader(&json);
    add_cpu(&json);
    add_cpus(&json);
    add_nodes(&json);
    add_memory(&json);
    add_framebuffer(&json);
    add_kernel(&json);
    add_ranges(&json);
    add_spaces(&json);
    add_page_tables(&json);
    add_vmm_audit(&json);
    add_allocators(&json, frames);
    add_results(&json);
    json_end(&json);
    serial_write("\r\n", 2);
    print_give_serial();
}
