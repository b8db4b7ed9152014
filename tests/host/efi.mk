# Host tests of efi/: the loader's real sources, with a firmware that each test plays, under sanitizers.
# Included by the top-level Makefile behind host.mk; HOST_EFI_TESTS are the programs.
#   host-efi-test   build and run them

HOST_EFI_SRCS_options    := arguments.c options.c commands.c command_help.c print.c
HOST_EFI_SRCS_efi_memmap := memmap.c command_memmap.c print.c

HOST_EFI_SRCS_elf        := elf.c elf_relocate.c
HOST_EFI_SRCS_requests   := requests.c
HOST_EFI_SRCS_lzma       := lzma.c
HOST_EFI_SRCS_unpack     := unpack.c filter.c lzma.c
HOST_EFI_SRCS_lz         := lz.c
HOST_EFI_SRCS_packed_loader := packed_loader.c filter.c lz.c
HOST_EFI_SRCS_protect    := protect.c
HOST_EFI_SRCS_limine_map := limine_map.c pagetables.c elf.c
HOST_EFI_SRCS_madt       := madt.c
HOST_EFI_SRCS_paging_mode := paging_mode.c

HOST_EFI_NAMES := options efi_memmap elf requests limine_map lz lzma unpack packed_loader protect madt paging_mode
HOST_EFI_TESTS := $(HOST_EFI_NAMES:%=$(BUILD)/host/test_%)
HOST_EFI_CFLAGS := -std=gnu11 -O1 -g $(HOST_SANITIZE) -fno-omit-frame-pointer -fshort-wchar \
                   -DGNU_EFI_USE_MS_ABI -Iinclude -Iefi -Itests/host -isystem /usr/include/efi \
                   -isystem /usr/include/efi/x86_64 -Wall -Wextra -Wshadow -Werror -MMD -MP

$(BUILD)/host/efi/%.o: efi/%.c
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(HOST_EFI_CFLAGS) -c $< -o $@
$(HOST_EFI_NAMES:%=$(BUILD)/host/efi/test_%.o): $(BUILD)/host/efi/%.o: tests/host/%.c
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(HOST_EFI_CFLAGS) -c $< -o $@

define HOST_EFI_PROGRAM
$(BUILD)/host/test_$(1): $(BUILD)/host/efi/test_$(1).o $(HOST_EFI_SRCS_$(1):%.c=$(BUILD)/host/efi/%.o)
	$(Q)$(HOSTCC) $(HOST_SANITIZE) $$^ $(HOST_LIBS) -o $$@
endef
$(foreach name,$(HOST_EFI_NAMES),$(eval $(call HOST_EFI_PROGRAM,$(name))))

$(BUILD)/host/test_packed_loader: | $(BUILD)/loader.packed # unpacks it

host-efi-test: $(HOST_EFI_TESTS)
	@failed=0; for test in $^; do \
	  timeout $(HOST_TIMEOUT) $$test || { echo "$$test: exit status $$?"; failed=1; }; \
	done; exit $$failed

.PHONY: host-efi-test
-include $(wildcard $(BUILD)/host/efi/*.d)
