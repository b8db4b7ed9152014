# Test kernels: foreign ELFs for the loader, one per base revision and kind (see kernel.h), and for each a
# BOOTX64.EFI that carries it inside, for firmware that passes no arguments.
#   test-kernels   build them all into $(BUILD)/test-kernels/
TEST_KERNEL_DIR   := $(BUILD)/test-kernels
TEST_KERNEL_NAMES := rev3 rev4 rev5 rev6 odd five
TEST_DRIVERS      := stale madt x2apic la57 nolow nx
TEST_KERNEL_PARTS := kernel.c machine.c memory.c answers.c mp.c entry.S
TEST_KERNEL_CFLAGS = $(filter-out -MMD -MP,$(COMMON)) -nostdlibinc -fno-builtin -fno-stack-protector
TEST_KERNELS := $(TEST_KERNEL_NAMES:%=$(TEST_KERNEL_DIR)/%.elf) \
                $(TEST_KERNEL_NAMES:%=$(TEST_KERNEL_DIR)/%.efi) \
                $(TEST_DRIVERS:%=$(TEST_KERNEL_DIR)/%.efi)

# What kernel x is: FLAGS_x, and SCRIPT_x if it is not an ordinary PIE (then it is made ET_EXEC too).
$(foreach n,3 4 5 6,$(eval FLAGS_rev$(n) := -DREVISION=$(n) -DNAME='"rev$(n)"'))
FLAGS_rev6 += -DENTRY_REQUEST
FLAGS_odd  := -DREVISION=3 -DNAME='"odd"' -DNO_MP
FLAGS_five := -DREVISION=6 -DNAME='"five"' -DPAGING_MODE=LIMINE_PAGING_5LEVEL
SCRIPT_odd := tests/boot/kernels/odd.ld

define TEST_KERNEL
$(TEST_KERNEL_DIR)/$(1)/%.o: tests/boot/kernels/% tests/boot/kernels/kernel.h include/boot/limine.h | setup
	@mkdir -p $$(@D)
	$(Q)$$(CLANG) $$(TEST_KERNEL_CFLAGS) $(FLAGS_$(1)) -c $$< -o $$@
$(TEST_KERNEL_DIR)/$(1).elf: $(TEST_KERNEL_PARTS:%=$(TEST_KERNEL_DIR)/$(1)/%.o) $(or $(SCRIPT_$(1)),tests/boot/kernels/pie.ld)
	$(Q)ld.lld $$(filter-out --orphan-handling=error,$$(KERNEL_LDFLAGS)) -T $$(lastword $$^) $$(filter %.o,$$^) -o $$@
	$(if $(SCRIPT_$(1)),$(Q)printf '\002' | dd of=$$@ bs=1 seek=16 conv=notrunc status=none)
$(TEST_KERNEL_DIR)/$(1)/carried.o: efi/carried.S $(TEST_KERNEL_DIR)/$(1).elf efi/pack.py $(BUILD)/loader.packed
	$(Q)$(PACK) $(TEST_KERNEL_DIR)/$(1).elf $$(@D)/kernel.packed
	$(Q)$$(CLANG) $$(TEST_KERNEL_CFLAGS) -I$$(@D) -I$(BUILD) -c $$< -o $$@
$(TEST_KERNEL_DIR)/$(1).efi: $(TEST_KERNEL_DIR)/$(1)/carried.o $(STUB_OBJS) efi/pe.ld efi/rest.ld efi/pe.py
	$$(call TEST_PE,efi-app-x86_64)
endef

# Link the objects among the prerequisites like the stub; $(1) is objcopy's target.
define TEST_PE
	$(Q)ld.lld $(EFI_LDFLAGS) -T efi/pe.ld $(filter %.o,$^) -o $@.so
	$(Q)objcopy --strip-all --target $(1) --section-alignment 4096 --file-alignment 512 \
	 $(PE_SECTIONS:%=-j %) $@.so $@
	$(Q)$(PYTHON) efi/pe.py $@.so $@ > /dev/null
endef
$(foreach k,$(TEST_KERNEL_NAMES),$(eval $(call TEST_KERNEL,$(k))))

# Drivers that play bad firmware; each says how.
$(TEST_DRIVERS:%=$(TEST_KERNEL_DIR)/%.o): $(TEST_KERNEL_DIR)/%.o: tests/boot/kernels/%.c | setup
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(filter-out -MMD -MP,$(EFI_CFLAGS)) -c $< -o $@
$(TEST_DRIVERS:%=$(TEST_KERNEL_DIR)/%.efi): $(TEST_KERNEL_DIR)/%.efi: $(TEST_KERNEL_DIR)/%.o $(BUILD)/efi/bytes.o $(BUILD)/efi/reloc.S.o efi/pe.ld efi/rest.ld efi/pe.py
	$(call TEST_PE,efi-bsdrv-x86_64)

test-kernels: $(TEST_KERNELS)
.PHONY: test-kernels
