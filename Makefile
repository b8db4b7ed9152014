# Quicklime: one EFI file that boots a machine and manages its memory. `make help` lists the targets.

BUILD   := build$(if $(KASAN),/kasan)
CLANG   ?= clang
PYTHON  := /usr/bin/python3
MEM     ?= 256
SMP     ?= 1
CPU     ?= max
MACHINE ?= q35
DISPLAY_ ?= none
ARGS    ?=
DEBUG   ?=
KASAN   ?=
DEBUG_MEMORY ?= $(KASAN)
QEMU_EXTRA ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif

# ---- what is built from what ---------------------------------------------------------------------
EFI_SRCS := main.c options.c print.c firmware.c memmap.c gop.c command_help.c command_memmap.c \
            command_gop.c command_check.c command_boot.c boot.c arguments.c commands.c \
            acpi.c ap.c arena.c bytes.c clock.c describe.c elf.c elf_relocate.c entropy.c filter.c handover.c \
            image.c kernel_file.c limine_map.c lapic.c lzma.c madt.c mp.c mp_start.c pagetables.c \
            paging_mode.c quiesce.c requests.c responses.c tables.c unpack.c
EFI_ASMS := ap_start.S enter.S
STUB_SRCS := stub.c bytes.c filter.c lz.c packed_loader.c protect.c # unpacks what those become
KERNEL_SRCS := layout.c main.c options.c port.c ranges.c tuning.c \
  $(addprefix boot/,context.c memory.c requests.c) \
  $(addprefix cpu/,calls.c clock.c clock_references.c cpu.c cpu_stacks.c cpus.c crew.c gdt.c lapic.c \
                   ring3.c shootdown.c stop.c traps.c) \
  $(addprefix firmware/,acpi.c acpi_tables.c aml.c madt.c nodes.c power.c runtime.c srat.c subtables.c) \
  $(addprefix console/,console.c font.c print.c screen.c serial.c utf8.c) \
  $(addprefix panic/,explain.c panic.c symbols.c) \
  $(addprefix user/,copy.c describe.c fault.c syscall.c thread.c) \
  $(addprefix report/,facts.c json.c mapview.c report.c report_cpus.c report_frames.c report_heap.c report_json.c \
                      report_ranges.c units.c) \
  $(addprefix check/,provoke.c selfcheck.c selfcheck_faults.c selfcheck_heap.c selfcheck_mm.c selfcheck_smp.c \
                     selfcheck_user.c selfcheck_vmm.c stress.c stress_heap.c stress_interrupts.c stress_mixed.c stress_tlb.c \
                     stress_user.c stress_vmm.c user_forbidden.c user_kernel.c user_room.c) \
  $(addprefix bench/,bench.c frames.c frames_full.c frames_plain.c frames_scan.c heap.c pages.c pages_faults.c \
                     pages_ranges.c pages_spaces.c pages_walk.c table.c) \
  $(addprefix monitor/,commands.c commands_check.c commands_heap.c commands_machine.c commands_memory.c \
                       commands_walk.c input.c keyboard.c lineedit.c monitor.c)
KERNEL_SRCS += $(if $(DEBUG_MEMORY),check/leaks.c)
KERNEL_SRCS += $(if $(KASAN),$(addprefix kasan/,bugs.c check.c corpus.c planted.c report.c selfcheck_kasan.c shadow.c))
KERNEL_ASMS := boot/entry.S console/fonts.S cpu/ap_entry.S cpu/trap_stubs.S user/copy_bytes.S user/payload.S
FONTS       := Uni2-Terminus16 Uni2-TerminusBold24x12 # kernel/console/fonts.S embeds these
# The calls of the heap: by short ways, or watching every object.
HEAP_FAST  := heap/kmalloc.c
HEAP_DEBUG := $(addprefix heap/debug/,caches.c delay.c depot.c kmalloc.c leaks.c look.c objects.c records.c store.c zones.c)
MM_SRCS := arena.c early.c hhdm.c lock.c mapper.c numa.c object_pool.c region.c string.c \
  $(addprefix heap/,classes.c core.c kept.c lane.c list.c node.c object_cache.c origin.c page_map.c ranges.c realloc.c refill.c release.c runs.c \
                    sample.c sample_pages.c share.c shared.c slab.c stats.c validate.c) \
  $(if $(DEBUG_MEMORY),$(HEAP_DEBUG),$(HEAP_FAST)) \
  $(addprefix paging/,arguments.c change.c clone.c exchange.c locks.c map.c merge.c pool.c protect.c query.c set.c space.c \
                      validate.c) \
  $(addprefix pmm/,admin.c alloc.c alloc_long.c bit_tree.c block.c cache.c free.c pmm.c poison.c stats.c \
                   validate.c zone.c) \
  $(addprefix vmm/,audit.c commit.c device.c fault.c look.c names.c populate.c range.c record.c resize.c \
                   shares.c vmm.c window.c)
# Of the real machine; for a Linux process the same is in host/.
MM_REAL := heap/ranges.c heap/sample_pages.c

EFI_OBJS    := $(EFI_SRCS:%.c=$(BUILD)/efi/%.o) $(EFI_ASMS:%=$(BUILD)/efi/%.o)
STUB_OBJS   := $(STUB_SRCS:%.c=$(BUILD)/efi/%.o) $(BUILD)/efi/reloc.S.o
KERNEL_OBJS := $(KERNEL_SRCS:%.c=$(BUILD)/kernel/%.o) $(KERNEL_ASMS:%=$(BUILD)/kernel/%.o)
MM_OBJS     := $(MM_SRCS:%.c=$(BUILD)/mm/%.o)

# Each step prints one short line; `make V=1` prints the commands.
ifndef V
Q := @
say = @printf '  %-5s %s\n' $(1) $@
endif

# ---- flags ---------------------------------------------------------------------------------------
WARN   := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wthread-safety -Werror
COMMON := --target=x86_64-unknown-linux-gnu -std=gnu11 -g -ffreestanding -mno-red-zone \
          -mgeneral-regs-only -fpie -fvisibility=hidden -include include/hidden.h \
          -fno-asynchronous-unwind-tables -fno-common -Iinclude $(WARN) -MMD -MP
SMALL := -ffunction-sections -fdata-sections # so that the linker can leave out what nobody uses
EFI_CFLAGS := $(COMMON) $(SMALL) -Oz -fshort-wchar -fno-stack-protector -DGNU_EFI_USE_MS_ABI -Iefi \
              -isystem /usr/include/efi -isystem /usr/include/efi/x86_64
# Most of a boot's work; -Oz would make it half as long again.
EFI_FLAGS_lz       := -Os
EFI_FLAGS_lzma     := -Os
EFI_FLAGS_requests := -Os
CORE_CFLAGS := $(COMMON) $(SMALL) -nostdlibinc -fno-builtin -fno-omit-frame-pointer \
               -fstack-protector-strong -mstack-protector-guard=global $(if $(DEBUG),-DQL_DEBUG) $(if $(DEBUG_MEMORY),-DQL_DEBUG_MEMORY)
# -O2 for what is called often; the rest is better small.
MM_HOT      := string $(addprefix heap/,core kept kmalloc lane list object_cache refill release share shared) $(addprefix paging/,locks map pool query set exchange change) $(addprefix pmm/,alloc bit_tree block cache free pmm) $(addprefix vmm/,fault populate)
MM_CFLAGS    = $(CORE_CFLAGS) $(if $(filter $(MM_HOT),$*),-O2,-Oz) $(MM_FLAGS_$*)
MM_FLAGS_heap/kmalloc := -fomit-frame-pointer -fno-stack-protector
MM_FLAGS_heap/object_cache := $(MM_FLAGS_heap/kmalloc)
MM_FLAGS_pmm/pmm := -momit-leaf-frame-pointer # its two fast functions are half as long again otherwise
# Every access asks whether it may be (docs/kasan.md), but for those of the memory functions, which ask themselves.
# The first line of -mllvm: by calls, so that the answer can be "yes" before there is a shadow; the second: nor
# does the compiler know where that is.
KASAN_PLAIN := string heap/debug/zones kasan/shadow kasan/check kasan/report
KASAN_CALLS := -fsanitize=kernel-address -mllvm -asan-instrumentation-with-call-threshold=0 \
               -mllvm -asan-max-inline-poisoning-size=0 -mllvm -asan-force-dynamic-shadow=1 \
               -mllvm -asan-stack=1 -mllvm -asan-globals=1 -mllvm -asan-use-after-scope=1
ifdef KASAN
CORE_CFLAGS += -DQL_KASAN -DQL_LOCK_UNFAIR # its CPUs are mostly virtual, and more than there are real ones
KASAN_CHECK  = $(if $(filter $(KASAN_PLAIN),$*),,$(KASAN_CALLS))
endif
# What our hot files are measured against is compiled as they are.
KERNEL_HOT    := bench/frames_scan bench/pages_walk kasan/check kasan/shadow
KERNEL_CFLAGS  = $(CORE_CFLAGS) $(if $(filter $(KERNEL_HOT),$*),-O2,-Oz) -Ikernel
EFI_LDFLAGS := -m elf_x86_64 -shared -Bsymbolic -nostdlib -z text -z max-page-size=4096 -z norelro \
               -z noexecstack --no-undefined --build-id=none --hash-style=sysv --gc-sections --icf=safe -O2 \
               --orphan-handling=error --apply-dynamic-relocs
KERNEL_LDFLAGS := -m elf_x86_64 -pie --no-dynamic-linker -nostdlib -z text -z max-page-size=4096 \
                  -z norelro -z noexecstack --build-id=none --hash-style=sysv --gc-sections --icf=safe -O2 --orphan-handling=error
PE_SECTIONS := .text .rodata .reloc .data .bss
PACK := $(PYTHON) -B efi/pack.py # writes what efi/unpack.c reads

include tests/setup.mk

##@ Use
run: $(BUILD)/BOOTX64.EFI ## build and boot in QEMU; variables: MEM SMP CPU MACHINE DISPLAY_ ARGS QEMU_EXTRA
	@BUILD=$(BUILD) MEM=$(MEM) SMP=$(SMP) CPU=$(CPU) MACHINE=$(MACHINE) DISPLAY_=$(DISPLAY_) \
	 ARGS='$(ARGS)' tests/boot/run.sh $(QEMU_EXTRA)

debug: $(BUILD)/BOOTX64.EFI setup-debug ## QEMU halted, gdb attached with the kernel's symbols
	@BUILD=$(BUILD) MEM=$(MEM) SMP=$(SMP) CPU=$(CPU) MACHINE=$(MACHINE) ARGS='$(ARGS)' \
	 tests/boot/debug.sh $(QEMU_EXTRA)

image: $(BUILD)/quicklime.img ## a GPT disk with an EFI system partition, for a USB stick

efi: $(BUILD)/BOOTX64.EFI ## only build the EFI file

host: host-lib $(if $(DEBUG_MEMORY),,host-malloc) ## the memory manager and its heap as libraries for Linux programs, with headers

##@ Check
test: setup-test ## everything: host unit tests, real programs on our malloc, PE and ELF checks, real boots
	@$(MAKE) --no-print-directory efi image $(if $(KASAN),,test-programs test-bugs-programs $(if $(DEBUG_MEMORY),,malloc-programs) mm-layering) test-kernels
	@BUILD=$(BUILD) PYTHON=$(PYTHON) $(if $(KASAN),QL_KASAN=1 QL_SLOWER=5 tests/run.sh,tests/run.sh $(TEST_PROGRAMS))

test-bugs: test-bugs-run ## only the planted bugs: which build of the heap tells which

bench-boot: setup-test $(BUILD)/bench/count.so ## count the instructions of boots, find the least memory
	@$(MAKE) --no-print-directory efi image
	@BUILD=$(BUILD) $(PYTHON) -B tests/bench/boot.py

bench-kernel: setup-test ## count the kernel's memory management, in QEMU; SUITE ROWS MEM SMP SHIFT
	@$(MAKE) --no-print-directory efi
	@BUILD=$(BUILD) SUITE='$(SUITE)' ROWS='$(ROWS)' SMP='$(if $(filter command line environment,$(origin SMP)),$(SMP))' \
	 MEM='$(if $(filter command line environment,$(origin MEM)),$(MEM))' \
	 SHIFT='$(SHIFT)' $(PYTHON) -B tests/bench/kernel.py

bench-frames: bench-frames-run ## time the frame allocator against others; ROWS REPEAT THREADS THEIRS

bench-programs: bench-programs-run ## time whole programs on our malloc and on others; ROWS REPEAT THEIRS

bench-pages: bench-pages-run ## time the page tables against filling them by hand; ROWS REPEAT

bench-heap: bench-heap-run ## time malloc against others; ROWS REPEAT THREADS THEIRS INSTR=1
fuzz: setup-test ## look for calls that break the heap, with libFuzzer; SECONDS
	@$(MAKE) --no-print-directory fuzz-run

format: ## rewrite every C file in the project's format
	clang-format -i $$(git ls-files '*.c' '*.h')

compile_commands: efi ## write compile_commands.json for editors
	@(echo '['; cat $$(find $(BUILD)/efi $(BUILD)/kernel $(BUILD)/mm -name '*.o.json') | sed '$$ s/,$$//'; \
	 echo ']') > compile_commands.json

clean: ## remove everything that was built
	rm -rf $(BUILD) compile_commands.json

help: ## this text
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	 /^[a-z_-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile
	@printf '\nVariables of run and debug (now):\n'
	@printf '  %-18s %s\n' 'MEM=$(MEM)' 'MiB of memory' 'SMP=$(SMP)' 'CPUs' \
	 'CPU=$(CPU)' 'QEMU CPU model (qemu64, Nehalem, EPYC, max, ...)' \
	 'MACHINE=$(MACHINE)' 'QEMU machine (q35, pc)' \
	 'DISPLAY_=$(DISPLAY_)' 'QEMU display (gtk, sdl, vnc=:0, none)' \
	 'ARGS=$(ARGS)' 'command line of the loader, for example ARGS="resolution=1920x1080 verbose"' \
	 'DEBUG=1' 'kernel that checks its locks; give it a BUILD of its own' \
	 'KASAN=1' 'kernel that checks every access of its own to memory; BUILD is build/kasan then' \
	 'DEBUG_MEMORY=1' 'heap that watches every object; give it a BUILD of its own' \
	 'QEMU_EXTRA=' 'more arguments for QEMU'

.PHONY: run debug image efi host test test-bugs bench-boot bench-kernel bench-frames bench-programs bench-pages bench-heap fuzz test-programs format compile_commands clean help

$(EFI_OBJS) $(STUB_OBJS) $(KERNEL_OBJS) $(MM_OBJS): Makefile # the flags are in it

# ---- the kernel: an ELF of its own -----------------------------------------------------------------
$(BUILD)/kernel/%.o: kernel/%.c | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(KERNEL_CFLAGS) $(KASAN_CHECK) -MJ $@.json -c $< -o $@
$(BUILD)/kernel/%.S.o: kernel/%.S | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(KERNEL_CFLAGS) -I$(BUILD) -c $< -o $@
$(BUILD)/mm/%.o: mm/%.c | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(MM_CFLAGS) $(KASAN_CHECK) -MJ $@.json -c $< -o $@

# Linked twice: the first image gives the addresses for the symbol table that the second carries.
$(BUILD)/kernel.elf: $(KERNEL_OBJS) $(MM_OBJS) kernel/kernel.ld kernel/panic/symbols.awk
	$(Q)echo | awk -f kernel/panic/symbols.awk > $(BUILD)/symbols.S
	$(Q)$(CLANG) $(COMMON) -c $(BUILD)/symbols.S -o $(BUILD)/symbols.o
	$(Q)ld.lld $(KERNEL_LDFLAGS) -T kernel/kernel.ld $(KERNEL_OBJS) $(MM_OBJS) $(BUILD)/symbols.o -o $@.1
	$(Q)nm -n $@.1 | awk -f kernel/panic/symbols.awk > $(BUILD)/symbols.S
	$(Q)$(CLANG) $(COMMON) -c $(BUILD)/symbols.S -o $(BUILD)/symbols.o
	$(call say,LD)
	$(Q)ld.lld $(KERNEL_LDFLAGS) -T kernel/kernel.ld $(KERNEL_OBJS) $(MM_OBJS) $(BUILD)/symbols.o -o $@
	$(Q)$(PYTHON) tests/check_elf.py $@
$(BUILD)/kernel.stripped: $(BUILD)/kernel.elf
	$(call say,OBJ)
	$(Q)objcopy --strip-all $< $@
$(BUILD)/kernel.packed: $(BUILD)/kernel.stripped efi/pack.py
	$(call say,PACK)
	$(Q)$(PACK) $< $@

$(BUILD)/fonts/%.psf: kernel/console/font.py | setup
	@mkdir -p $(@D)
	$(call say,FONT)
	$(Q)zcat /usr/share/consolefonts/$*.psf.gz | $(PYTHON) $< > $@
$(BUILD)/kernel/console/fonts.S.o: $(FONTS:%=$(BUILD)/fonts/%.psf)

# ---- the EFI file: the loader, packed, then a stub with loader and kernel, which becomes a PE -------
$(BUILD)/efi/%.o: efi/%.c | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(EFI_CFLAGS) $(EFI_FLAGS_$*) -MJ $@.json -c $< -o $@
$(BUILD)/efi/%.S.o: efi/%.S | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(EFI_CFLAGS) -I$(BUILD) -c $< -o $@
$(BUILD)/loader.so: $(EFI_OBJS) efi/loader.ld efi/rest.ld
	$(call say,LD)
	$(Q)ld.lld $(EFI_LDFLAGS) -T efi/loader.ld $(EFI_OBJS) -o $@
$(BUILD)/loader.packed: $(BUILD)/loader.so efi/pack_loader.py efi/pack.py efi/lz.py efi/pe.py
	$(call say,PACK)
	$(Q)$(PYTHON) -B efi/pack_loader.py $< $@
$(BUILD)/efi/carried.S.o: $(BUILD)/loader.packed $(BUILD)/kernel.packed
$(BUILD)/stub.so: $(STUB_OBJS) $(BUILD)/efi/carried.S.o efi/pe.ld efi/rest.ld
	$(call say,LD)
	$(Q)ld.lld $(EFI_LDFLAGS) -T efi/pe.ld $(filter %.o,$^) -o $@
$(BUILD)/BOOTX64.EFI: $(BUILD)/stub.so efi/pe.py
	$(call say,OBJ)
	$(Q)objcopy --strip-all --target efi-app-x86_64 --section-alignment 4096 --file-alignment 512 \
	 $(PE_SECTIONS:%=-j %) $< $@
	$(Q)$(PYTHON) efi/pe.py $< $@ $(if $(KASAN),1024,$(if $(DEBUG_MEMORY),256))

$(BUILD)/quicklime.img: $(BUILD)/BOOTX64.EFI startup.nsh $(wildcard esp/*) tests/boot/image.sh
	$(Q)tests/boot/image.sh $(BUILD)/BOOTX64.EFI $@

$(BUILD)/bench/count.so: tests/bench/count.c | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) -std=gnu11 -O2 -Wall -Wextra -Wshadow -Werror -fPIC -shared $< -o $@

include tests/host/host.mk tests/host/efi.mk tests/fuzz/fuzz.mk tests/boot/kernels/kernels.mk
include host/host-lib.mk host/malloc.mk tests/bugs/bugs.mk tests/bench/bench.mk tests/proof/proof.mk tests/programs/programs.mk
TEST_PROGRAMS := $(HOST_TESTS) $(HOST_EFI_TESTS)
test-programs: $(TEST_PROGRAMS) | setup-test
-include $(EFI_OBJS:.o=.d) $(STUB_OBJS:.o=.d) $(KERNEL_OBJS:.o=.d) $(MM_OBJS:.o=.d)
