# Installs what is missing on a Debian machine, once; elsewhere prints the list and stops.
# Each set has a stamp, so a build that is set up costs nothing.

PACKAGES_BUILD := gnu-efi clang lld binutils libc6-dev console-setup-linux python3 \
                  ovmf qemu-system-x86 mtools gdisk
PACKAGES_TEST  := libclang-rt-14-dev libcmocka-dev python3-pytest python3-pytest-xdist u-boot-qemu \
                  spin gcc python3-z3 python3-pycparser g++
PACKAGES_DEBUG := gdb

setup: $(BUILD)/.setup-build
setup-test: $(BUILD)/.setup-test
setup-debug: $(BUILD)/.setup-debug
$(BUILD)/.setup-build: PACKAGES := $(PACKAGES_BUILD)
$(BUILD)/.setup-test: PACKAGES := $(PACKAGES_BUILD) $(PACKAGES_TEST)
$(BUILD)/.setup-debug: PACKAGES := $(PACKAGES_BUILD) $(PACKAGES_DEBUG)

$(BUILD)/.setup-%: tests/setup.mk tests/install.sh
	@tests/install.sh $(PACKAGES)
	@mkdir -p $(@D) && touch $@

.PHONY: setup setup-test setup-debug
