/* What the machine is and what we made of it: for people, and for programs.
 * Stage: after the memory take-over; at boot and on demand. */
#ifndef QL_KERNEL_REPORT_H
#define QL_KERNEL_REPORT_H

/* The whole report to serial and framebuffer, in 80 columns. */
void report_print(void);

/* Its parts in full, for the monitor: every region, every range that has this in its name ("": all),
 * every space, every counter. */
void report_memory_map(void);
void report_ranges(const char *part);
void report_spaces(void);
void report_frames(void);
void report_frames_whole(void);
void report_heap(void);
void report_heap_whole(void);
void report_heap_classes(void);
void report_heap_caches(void);
void report_heap_cpus(void);
void report_cpus(void);
void report_selfcheck(void);

/* The same facts as one line of JSON on serial. Members are added, never renamed or removed:
 *   quicklime, version  both the version, "0.1.0"; quicklime is always the first member
 *   firmware            {type, vendor, revision, uefi}
 *   loader              {name, version, base_revision, cmdline}
 *   cpu                 {vendor, name, family, model, stepping, phys_bits, virt_bits, protections,
 *                        tsc_hz, tsc_source: "CPUID", "HPET", ... (clock.h)}
 *   cpus                [{id, lapic_id, acpi_uid, node, state}]; state: "online", "absent" (listed
 *                        by the firmware, but it does not answer) or "disabled" (not usable)
 *   nodes               [{id, memory_bytes, frames {total, free, free_by_order}, distances}];
 *                        memory_bytes: RAM of all kinds; distances: to each node in turn, 10 to
 *                        itself
 *   memory_map          [{base, length, type, name}], sorted; type: the Limine protocol's number
 *   ram                 {total_bytes, usable_bytes}
 *   framebuffer         {base, width, height, pitch, bpp}, or null
 *   kernel              {va, pa, bytes}
 *   ranges              [{name, va, pa, bytes, prot, cache, allocated, and if that is true: pages_4k,
 *                        pages_2m, pages_1g, on_touch, reserved}]; pa: null unless all of it is there,
 *                        in one piece; prot: a guard's is "---"; on_touch, reserved: pages without
 *                        memory that get it when they are touched, or when somebody says so
 *   spaces              [{name, tables, pages_4k, pages_2m, pages_1g, on_touch, reserved, owned, shared,
 *                        faults}], the kernel's first; owned: pages of 4 KiB whose frames belong to
 *                        ranges; shared: those of them that copies of the space have, too
 *   vmm_audit           {spaces, tables, pages_4k, pages_2m, pages_1g, owned, shared,
 *                        writable_executable, user_in_kernel, mapped_twice, miscounted, not_in_use}, null if there
 *                        was no memory for it
 *   page_tables         {tables, pages_4k, pages_2m, pages_1g, writable_executable, user,
 *                        outside_ranges, mismatched}
 *   frames              {total, used, free, total_kib, used_kib, free_kib, metadata_kib, cached_kib,
 *                        retired_kib, free_by_order, init_nsec}; cached: free, kept by CPUs for
 *                        themselves; retired: bad; free_by_order: what is free as the largest
 *                        aligned runs of 2^0, 2^1, ... 2^9 frames; init_nsec: pmm_init took so long
 *   heap                {used_bytes, free_bytes, live_blocks, S, reserve_bytes, descriptor_bytes,
 *                        shrinks, samples, samples_live, classes [{name, bytes, S}], caches, the
 *                        same, cpus [{id, S}], tuning {reserve, depth, debug, sample}} with S: live,
 *                        live_bytes, peak, allocations, frees, remote_frees, failures, slabs,
 *                        slab_bytes, waste_bytes, as in mm/heap_stats.h; free_bytes: slab_bytes that
 *                        are not live; classes and caches that were ever used
 *   boot_usec           {loader, kernel}; 0: unknown
 *   self_check          {passed, failed}
 *   stress              {passed, failed}: of all stress tests so far
 *   bench               {failed}: benchmarks that did not work or did not leave memory as found
 * Virtual addresses are strings "0x..." because many readers lose what is beyond 2^53; physical
 * addresses and sizes are numbers. */
void report_json(void);

#endif
