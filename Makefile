# Quicklime: one EFI file that boots a machine and manages its memory. `make help` lists the targets.

BUILD   := build
CLANG   ?= clang
PYTHON  := /usr/bin/python3

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif

# ---- what is built from what ---------------------------------------------------------------------
KERNEL_SRCS := main.c context.c options.c serial.c print.c traps.c gdt.c panic.c symbols.c cpu.c \
               port.c layout.c memory.c selfcheck.c power.c runtime.c acpi.c provoke.c \
               requests.c explain.c lapic.c aml.c selfcheck_mm.c selfcheck_faults.c \
               console.c screen.c font.c utf8.c keyboard.c input.c lineedit.c monitor.c \
               report.c report_json.c facts.c mapview.c units.c json.c
KERNEL_ASMS := entry.S trap_stubs.S fonts.S
FONTS       := Uni2-Terminus16 Uni2-TerminusBold24x12 # kernel/fonts.S embeds these
MM_SRCS := early.c heap.c hhdm.c mapper.c paging.c paging_query.c pmm.c region.c string.c

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
CORE_CFLAGS := $(COMMON) -nostdlibinc -fno-builtin -fno-omit-frame-pointer \
               -fstack-protector-strong -mstack-protector-guard=global
MM_CFLAGS   := $(CORE_CFLAGS) -O2
KERNEL_CFLAGS := $(CORE_CFLAGS) -Os -Ikernel
KERNEL_LDFLAGS := -m elf_x86_64 -pie --no-dynamic-linker -nostdlib -z text -z max-page-size=4096 \
                  -z norelro -z noexecstack --build-id=none --hash-style=sysv --orphan-handling=error

include tests/setup.mk

##@ Use
kernel: $(BUILD)/kernel.elf ## only build the kernel

##@ Check
test: setup-test ## everything: host unit tests, checks of the kernel image
	@$(MAKE) --no-print-directory kernel test-programs mm-layering
	@$(MAKE) --no-print-directory host-test

format: ## rewrite every C file in the project's format
	clang-format -i $$(git ls-files '*.c' '*.h')

compile_commands: kernel ## write compile_commands.json for editors
	@(echo '['; cat $$(find $(BUILD)/kernel $(BUILD)/mm -name '*.o.json') | sed '$$ s/,$$//'; \
	 echo ']') > compile_commands.json

clean: ## remove everything that was built
	rm -rf $(BUILD) compile_commands.json

help: ## this text
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	 /^[a-z_-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

.PHONY: kernel test test-programs format compile_commands clean help

# ---- the kernel: an ELF of its own -----------------------------------------------------------------
$(BUILD)/kernel/%.o: kernel/%.c | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(KERNEL_CFLAGS) -MJ $@.json -c $< -o $@
$(BUILD)/kernel/%.S.o: kernel/%.S | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(KERNEL_CFLAGS) -I$(BUILD) -c $< -o $@
$(BUILD)/mm/%.o: mm/%.c | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(MM_CFLAGS) -MJ $@.json -c $< -o $@

# Linked twice: the first image gives the addresses for the symbol table that the second carries.
$(BUILD)/kernel.elf: $(KERNEL_OBJS) $(MM_OBJS) kernel/kernel.ld kernel/symbols.awk
	$(Q)echo | awk -f kernel/symbols.awk > $(BUILD)/symbols.S
	$(Q)$(CLANG) $(COMMON) -c $(BUILD)/symbols.S -o $(BUILD)/symbols.o
	$(Q)ld.lld $(KERNEL_LDFLAGS) -T kernel/kernel.ld $(KERNEL_OBJS) $(MM_OBJS) $(BUILD)/symbols.o -o $@.1
	$(Q)nm -n $@.1 | awk -f kernel/symbols.awk > $(BUILD)/symbols.S
	$(Q)$(CLANG) $(COMMON) -c $(BUILD)/symbols.S -o $(BUILD)/symbols.o
	$(call say,LD)
	$(Q)ld.lld $(KERNEL_LDFLAGS) -T kernel/kernel.ld $(KERNEL_OBJS) $(MM_OBJS) $(BUILD)/symbols.o -o $@
	$(Q)$(PYTHON) tests/check_elf.py $@
$(BUILD)/kernel.stripped: $(BUILD)/kernel.elf
	$(call say,OBJ)
	$(Q)objcopy --strip-all $< $@

$(BUILD)/fonts/%.psf: | setup
	@mkdir -p $(@D)
	$(call say,FONT)
	$(Q)zcat /usr/share/consolefonts/$*.psf.gz > $@
$(BUILD)/kernel/fonts.S.o: $(FONTS:%=$(BUILD)/fonts/%.psf)

include tests/host/host.mk
TEST_PROGRAMS := $(HOST_TESTS)
test-programs: $(TEST_PROGRAMS) | setup-test
-include $(KERNEL_OBJS:.o=.d) $(MM_OBJS:.o=.d)
