# The memory manager as a library for Linux programs: `make host`. Included by the top-level Makefile.
#   $(BUILD)/host/libquicklime.so     $(BUILD)/host/include/quicklime/host.h, and the headers of mm/
# An outside program:  clang -Ibuild/host/include program.c -Lbuild/host -lquicklime -Wl,-rpath,build/host

HOSTLIB      := $(BUILD)/host/libquicklime.so
HOSTLIB_SRCS := $(patsubst %,mm/%,$(filter-out $(MM_REAL),$(MM_SRCS))) \
                host/barrier.c host/callers.c host/cpus.c host/memory_map.c \
                host/port.c host/ram.c host/ranges.c host/sample_pages.c host/start.c
HOSTLIB_OBJS := $(HOSTLIB_SRCS:%.c=$(BUILD)/hostlib/%.o)

# The code that the kernel gets, as far as Linux allows; thread-local variables without a call.
HOSTLIB_CFLAGS := -std=gnu11 -O2 -g -fPIC -ftls-model=initial-exec -DQL_HOST -Iinclude \
                  -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fno-common \
                  -fstack-protector-strong $(WARN) -MMD -MP $(if $(DEBUG),-DQL_DEBUG) $(if $(DEBUG_MEMORY),-DQL_DEBUG_MEMORY)
$(BUILD)/hostlib/mm/%.o: HOSTLIB_CFLAGS += -mno-red-zone -mgeneral-regs-only -fno-builtin \
                                           -fvisibility=hidden -include host/export.h
$(BUILD)/hostlib/host/%.o: HOSTLIB_CFLAGS += -D_GNU_SOURCE -Ihost

$(BUILD)/hostlib/%.o: %.c | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(HOSTLIB_CFLAGS) $(MM_FLAGS_$(notdir $*)) -c $< -o $@

$(HOSTLIB): $(HOSTLIB_OBJS)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CLANG) -fuse-ld=lld -shared -pthread -Wl,-soname,libquicklime.so -Wl,-z,defs \
	 -Wl,-Bsymbolic-functions $^ -o $@

# Installed, the headers name each other from <quicklime/>, so that one -I is enough.
HOSTLIB_HEADERS := host.h $(patsubst include/%,%,$(wildcard include/mm/*.h)) \
                   check.h config.h cpu_set.h lock.h status.h
HOSTLIB_INSTALLED := $(HOSTLIB_HEADERS:%=$(BUILD)/host/include/quicklime/%)
define HOSTLIB_INSTALL
@mkdir -p $(@D)
$(Q)sed -E 's,^( *# *include )"([a-z_/]+\.h)",\1<quicklime/\2>,' $< > $@
endef
$(BUILD)/host/include/quicklime/host.h: host/host.h
	$(HOSTLIB_INSTALL)
$(BUILD)/host/include/quicklime/%.h: include/%.h
	$(HOSTLIB_INSTALL)

host-lib: $(HOSTLIB) $(HOSTLIB_INSTALLED)

# The test is such an outside program, and part of `make test`.
HOSTLIB_TEST := $(BUILD)/hostlib/test_library
$(HOSTLIB_TEST): tests/library/test_library.c $(HOSTLIB) $(HOSTLIB_INSTALLED)
	$(call say,CC)
	$(Q)$(CLANG) -std=gnu11 -O1 -g -Wall -Wextra -Wshadow -Werror -I$(BUILD)/host/include $< -o $@ \
	 -L$(BUILD)/host -lquicklime -Wl,-rpath,$(abspath $(BUILD)/host) -lcmocka -pthread
HOST_TESTS += $(HOSTLIB_TEST)

.PHONY: host-lib
-include $(HOSTLIB_OBJS:.o=.d)
