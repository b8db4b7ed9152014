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
MM_SRCS := early.c heap.c hhdm.c mapper.c paging.c paging_query.c pmm.c region.c string.c

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

include tests/setup.mk

##@ Check
test: setup-test ## everything: host unit tests
	@$(MAKE) --no-print-directory test-programs mm-layering
	@$(MAKE) --no-print-directory host-test

format: ## rewrite every C file in the project's format
	clang-format -i $$(git ls-files '*.c' '*.h')

clean: ## remove everything that was built
	rm -rf $(BUILD)

help: ## this text
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	 /^[a-z_-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

.PHONY: test test-programs format clean help

# ---- mm/ as the kernel will have it ------------------------------------------------------------------
$(BUILD)/mm/%.o: mm/%.c | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(MM_CFLAGS) -MJ $@.json -c $< -o $@

include tests/host/host.mk
TEST_PROGRAMS := $(HOST_TESTS)
test-programs: $(TEST_PROGRAMS) | setup-test
-include $(MM_OBJS:.o=.d)
