# Planted bugs and who tells them, part of `make test`: bugs.py runs each with each build of the host
# library. Included by the top-level Makefile.

BUGS       := $(BUILD)/bugs/main $(BUILD)/bugs/main-debug
BUGS_DEBUG := $(BUILD)/debug-memory/host/libquicklime.so

# The headers say which build of the library it is for.
$(BUILD)/bugs/main-debug: BUGS_FLAGS := -DQL_DEBUG_MEMORY
$(BUGS): tests/bugs/main.c tests/bugs/bugs.c tests/bugs/bugs.h $(HOSTLIB) $(HOSTLIB_INSTALLED)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) -std=gnu11 -O1 -g -fno-omit-frame-pointer -rdynamic -Wall -Wextra -Wshadow -Werror \
	 -DQL_HOST $(BUGS_FLAGS) -I$(BUILD)/host/include -I$(BUILD)/host/include/quicklime \
	 $(filter %.c,$^) -o $@ -L$(BUILD)/host -lquicklime -Wl,--allow-shlib-undefined -Wl,--unresolved-symbols=ignore-all

# The library and the kernel once more, as a build of its own: make knows what has changed.
# tests/boot/test_heap_debug.py boots the kernel.
ifeq ($(DEBUG_MEMORY),)
$(BUGS_DEBUG): host-lib
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/debug-memory DEBUG_MEMORY=1 host-lib efi
.PHONY: $(BUGS_DEBUG)
else
$(BUGS_DEBUG): $(HOSTLIB) $(BUILD)/BOOTX64.EFI
	@mkdir -p $(@D)
	$(Q)cp $< $@ && cp $(BUILD)/BOOTX64.EFI $(BUILD)/debug-memory/
endif

test-bugs-programs: $(BUGS) $(BUGS_DEBUG)

test-bugs-run: test-bugs-programs
	@BUILD=$(BUILD) $(PYTHON) -B tests/bugs/bugs.py

.PHONY: test-bugs-run test-bugs-programs
