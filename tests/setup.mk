# Installs what is missing on a Debian machine, once; elsewhere prints the list and stops.
# Each set has a stamp, so a build that is set up costs nothing. The stamps of all builds are in one place. None of
# the packages starts a service: redis-tools has the server, too, but redis-server would run it.

PACKAGES_BUILD := gnu-efi clang lld binutils libc6-dev console-setup-linux python3 \
                  ovmf qemu-system-x86 mtools gdisk
PACKAGES_TEST  := libclang-rt-14-dev libcmocka-dev python3-pytest python3-pytest-xdist u-boot-qemu \
                  spin gcc python3-z3 python3-pycparser g++ \
                  redis-tools sqlite3 stress-ng libpython3.11-testsuite
PACKAGES_DEBUG := gdb
PACKAGES_BENCH := clang lld libmimalloc2.0 libjemalloc2 libtcmalloc-minimal4 valgrind

setup: build/.setup-build
setup-test: build/.setup-test
setup-debug: build/.setup-debug
setup-bench: build/.setup-bench
build/.setup-build: PACKAGES := $(PACKAGES_BUILD)
build/.setup-test: PACKAGES := $(PACKAGES_BUILD) $(PACKAGES_TEST)
build/.setup-debug: PACKAGES := $(PACKAGES_BUILD) $(PACKAGES_DEBUG)
build/.setup-bench: PACKAGES := $(PACKAGES_BENCH)

build/.setup-%: tests/setup.mk tests/install.sh
	@tests/install.sh $(PACKAGES)
	@mkdir -p $(@D) && touch $@

.PHONY: setup setup-test setup-debug setup-bench
