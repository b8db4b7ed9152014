# Host tests: mm/ against a simulated machine, with sanitizers. Included by the top-level Makefile;
# stands alone too: make -f tests/host/host.mk host-test
#   host-tests   build all test programs       host-test    build and run them
#   mm-layering  check what the kernel's mm objects (MM_OBJS, built by the Makefile) call

BUILD  ?= build
HOSTCC ?= clang
HOSTCXX ?= clang++
HOST_TIMEOUT ?= 120

# Each test program: its own file, all of mm/, and what poses as the machine.
HOST_TEST_NAMES := region early string pmm pmm_life pmm_model pmm_size numa paging paging_model paging_more \
                   paging_states paging_exchange paging_user paging_walk paging_whole paging_readers tlb mapper mapper_audit heap_classes heap_slabs heap_lanes heap_model heap_large heap_kept heap_ranges heap_realloc heap_sample arena object_pool object_cache \
                   vmm_window vmm_units vmm vmm_user vmm_races vmm_model
HOST_TESTS      := $(HOST_TEST_NAMES:%=$(BUILD)/host/test_%)
HOST_MM_SRCS    := $(patsubst %,mm/%,$(filter-out $(MM_REAL),$(MM_SRCS)))
HOST_RIG_SRCS   := host/callers.c host/ranges.c host/sample_pages.c tests/host/machine.c tests/host/cpus.c tests/host/walker.c \
                   tests/host/heap_model.c tests/host/pmm_model.c tests/host/maps/maps.c tests/host/maps/random.c
HOST_COMMON     := $(HOST_MM_SRCS:%.c=$(BUILD)/host/%.o) $(HOST_RIG_SRCS:%.c=$(BUILD)/host/%.o)
HOST_OBJS       := $(HOST_COMMON) $(HOST_TEST_NAMES:%=$(BUILD)/host/tests/host/test_%.o)

HOST_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
HOST_CFLAGS   := -std=gnu11 -O1 -g -D_GNU_SOURCE -DQL_HOST -DQL_DEBUG $(if $(DEBUG_MEMORY),-DQL_DEBUG_MEMORY) $(HOST_SANITIZE) -fno-omit-frame-pointer \
                 -Iinclude -Itests/host -Wall -Wextra -Wshadow -Wthread-safety -Werror -MMD -MP
# The k-th allocation fails by way of the linker: see machine.c.
HOST_WRAPPED  := pmm_alloc_frame pmm_alloc_frames pmm_alloc_order pmm_alloc_batch ranges_alloc ranges_resize
HOST_LDFLAGS  := $(HOST_SANITIZE) $(HOST_WRAPPED:%=-Wl,--wrap=%)
HOST_LIBS     := -lcmocka
# What another CPU does between two steps: see test_vmm_races.c.
$(BUILD)/host/test_vmm_races: HOST_LDFLAGS += -Wl,--wrap=paging_set -Wl,--wrap=paging_set_prot -Wl,--wrap=paging_note
$(BUILD)/host/test_heap_sample: HOST_LDFLAGS += -Wl,--wrap=sample_page_open -Wl,--wrap=sample_page_close

$(BUILD)/host/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(HOST_CFLAGS) -c $< -o $@

$(HOST_TESTS): $(BUILD)/host/test_%: $(BUILD)/host/tests/host/test_%.o $(HOST_COMMON)
	$(Q)$(HOSTCC) $(HOST_LDFLAGS) $^ $(HOST_LIBS) -o $@

# A C++ program without a C++ library, on include/compat/.
HOST_TESTS += $(BUILD)/host/test_compat
HOST_OBJS  += $(BUILD)/host/tests/host/test_compat.o $(BUILD)/host/tests/host/compat_program.o
# The address sanitizer would write cookies of arrays into its shadow, as if new were its own.
$(BUILD)/host/tests/host/compat_program.o: tests/host/compat_program.cc
	@mkdir -p $(@D)
	$(Q)$(HOSTCXX) $(subst gnu11,c++17,$(HOST_CFLAGS)) -ffreestanding -nostdinc++ -fno-exceptions -fno-rtti -fno-sanitize=address,function,vptr -c $< -o $@
$(BUILD)/host/test_compat: $(BUILD)/host/tests/host/test_compat.o $(BUILD)/host/tests/host/compat_program.o $(HOST_COMMON)
	$(Q)$(HOSTCC) $(HOST_LDFLAGS) $^ $(HOST_LIBS) -o $@

# ---- several CPUs: the same mm/, with the thread sanitizer ----------------------------------------
HOST_TSAN_NAMES := smp_lock smp_pmm smp_pmm_meddle smp_heap smp_heap_watched smp_object_cache smp_paging smp_tables smp_states \
                   smp_vmm_units smp_vmm
HOST_TSAN_TESTS := $(HOST_TSAN_NAMES:%=$(BUILD)/host-tsan/test_%)
HOST_TSAN_COMMON := $(HOST_COMMON:$(BUILD)/host/%=$(BUILD)/host-tsan/%)
HOST_TSAN_OBJS  := $(HOST_TSAN_COMMON) $(HOST_TSAN_NAMES:%=$(BUILD)/host-tsan/tests/host/test_%.o)
HOST_TSAN       := -fsanitize=thread -pthread

$(BUILD)/host-tsan/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(filter-out $(HOST_SANITIZE),$(HOST_CFLAGS)) $(HOST_TSAN) -c $< -o $@

$(HOST_TSAN_TESTS): $(BUILD)/host-tsan/test_%: $(BUILD)/host-tsan/tests/host/test_%.o \
                                               $(HOST_TSAN_COMMON)
	$(Q)$(HOSTCC) $(filter-out $(HOST_SANITIZE),$(HOST_LDFLAGS)) $(HOST_TSAN) $^ $(HOST_LIBS) -o $@

HOST_TESTS += $(HOST_TSAN_TESTS)
-include $(HOST_TSAN_OBJS:.o=.d)

# ---- the same again as fast as it goes: no sanitizer, no poison; many more steps -------------------
HOST_FAST_NAMES := pmm_life pmm_model pmm_size smp_pmm smp_pmm_meddle
HOST_FAST_TESTS := $(HOST_FAST_NAMES:%=$(BUILD)/host-fast/test_%_fast)
HOST_FAST_COMMON := $(HOST_COMMON:$(BUILD)/host/%=$(BUILD)/host-fast/%)
HOST_FAST_OBJS  := $(HOST_FAST_COMMON) $(HOST_FAST_NAMES:%=$(BUILD)/host-fast/tests/host/test_%.o)

$(BUILD)/host-fast/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(filter-out $(HOST_SANITIZE) -O1 -DQL_DEBUG,$(HOST_CFLAGS)) -O2 -pthread -c $< -o $@

$(HOST_FAST_TESTS): $(BUILD)/host-fast/test_%_fast: $(BUILD)/host-fast/tests/host/test_%.o \
                                                    $(HOST_FAST_COMMON)
	$(Q)$(HOSTCC) $(filter-out $(HOST_SANITIZE),$(HOST_LDFLAGS)) -pthread $^ $(HOST_LIBS) -o $@

HOST_TESTS += $(HOST_FAST_TESTS)
-include $(HOST_FAST_OBJS:.o=.d)

# ---- the heap of a debug build, whatever this build is ---------------------------------------------
HOST_DEBUG_NAMES := heap_debug heap_model heap_realloc arena object_pool object_cache
HOST_DEBUG_TESTS := $(HOST_DEBUG_NAMES:%=$(BUILD)/host-debug/test_%)
HOST_DEBUG_COMMON := $(filter-out $(HEAP_FAST:%.c=$(BUILD)/host-debug/mm/%.o),$(HOST_COMMON:$(BUILD)/host/%=$(BUILD)/host-debug/%)) \
                     $(if $(DEBUG_MEMORY),,$(HEAP_DEBUG:%.c=$(BUILD)/host-debug/mm/%.o))
HOST_DEBUG_OBJS  := $(HOST_DEBUG_COMMON) $(HOST_DEBUG_NAMES:%=$(BUILD)/host-debug/tests/host/test_%.o)

$(BUILD)/host-debug/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(HOST_CFLAGS) -DQL_DEBUG_MEMORY -c $< -o $@

$(HOST_DEBUG_TESTS): $(BUILD)/host-debug/test_%: $(BUILD)/host-debug/tests/host/test_%.o $(HOST_DEBUG_COMMON)
	$(Q)$(HOSTCC) $(HOST_LDFLAGS) $^ $(HOST_LIBS) -o $@

HOST_DEBUG_TSAN_TESTS := $(BUILD)/host-debug-tsan/test_smp_heap_watched
HOST_DEBUG_TSAN_OBJS  := $(HOST_DEBUG_COMMON:$(BUILD)/host-debug/%=$(BUILD)/host-debug-tsan/%) \
                         $(BUILD)/host-debug-tsan/tests/host/test_smp_heap_watched.o
$(BUILD)/host-debug-tsan/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(filter-out $(HOST_SANITIZE),$(HOST_CFLAGS)) -DQL_DEBUG_MEMORY $(HOST_TSAN) -c $< -o $@

$(HOST_DEBUG_TSAN_TESTS): $(HOST_DEBUG_TSAN_OBJS)
	$(Q)$(HOSTCC) $(filter-out $(HOST_SANITIZE),$(HOST_LDFLAGS)) $(HOST_TSAN) $^ $(HOST_LIBS) -o $@

HOST_TESTS += $(HOST_DEBUG_TESTS) $(HOST_DEBUG_TSAN_TESTS)
-include $(HOST_DEBUG_OBJS:.o=.d) $(HOST_DEBUG_TSAN_OBJS:.o=.d)

# ---- and with a count of the basic blocks that are run through -----------------------------------------
HOST_COUNT_TEST := $(BUILD)/host-count/test_heap_growth
HOST_COUNT_OBJS := $(HOST_COMMON:$(BUILD)/host/%=$(BUILD)/host-count/%) \
                   $(BUILD)/host-count/tests/host/test_heap_growth.o

$(BUILD)/host-count/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(filter-out $(HOST_SANITIZE) -O1 -DQL_DEBUG,$(HOST_CFLAGS)) -O2 \
	 -fsanitize-coverage=bb,no-prune,trace-pc-guard -c $< -o $@

$(HOST_COUNT_TEST): $(HOST_COUNT_OBJS)
	$(Q)$(HOSTCC) $(filter-out $(HOST_SANITIZE),$(HOST_LDFLAGS)) $^ $(HOST_LIBS) -o $@

HOST_TESTS += $(HOST_COUNT_TEST)
-include $(HOST_COUNT_OBJS:.o=.d)

host-tests: $(HOST_TESTS)

host-test: $(HOST_TESTS)
	@failed=0; for test in $^; do \
	  timeout $(HOST_TIMEOUT) $$test || { echo "$$test: exit status $$?"; failed=1; }; \
	done; exit $$failed

# ---- layering: heap -> vmm -> mapper -> paging -> pmm -> region, port -----------------------------------
MM_ALLOW_ALL    := port_cpu_id port_relax lock_check_acquire lock_note_acquired lock_check_release \
                   memcpy memmove memset memset64 __stack_chk_fail __stack_chk_guard port_panic hhdm
MM_ALLOW_region :=
MM_ALLOW_early  :=
MM_ALLOW_hhdm   :=
MM_ALLOW_string :=
MM_ALLOW_lock   :=
MM_ALLOW_numa   :=
MM_ALLOW_pmm    := region_validate numa_divide numa_find port_misuse port_barrier_all port_set_mm_cpu
MM_ALLOW_paging := pmm_alloc_batch pmm_free_frame pmm_free_batch pmm_is_used port_cpu port_get_root \
                   port_set_root port_tlb_shootdown port_tlb_flush_all
MM_ALLOW_mapper := region_validate pmm_alloc_frames pmm_free_frames paging_create paging_destroy \
                   paging_map paging_next paging_switch port_cpu
MM_ALLOW_vmm    := pmm_alloc_frame pmm_alloc_frames pmm_alloc_order pmm_alloc_batch \
                   pmm_free_frame pmm_free_frames pmm_free_order pmm_free_batch pmm_is_used \
                   port_cpu port_misuse strcmp paging_clone paging_create_user paging_destroy \
                   paging_exchange paging_fill paging_find_empty paging_look paging_look_back paging_map \
                   paging_next_of paging_note paging_seal paging_set paging_set_prot paging_switch
MM_ALLOW_arena  := kmalloc kmalloc_size kfree port_misuse
MM_ALLOW_object_pool := kmalloc kmalloc_want kmalloc_size kfree port_log port_misuse
MM_ALLOW_heap   := pmm pmm_alloc_frames pmm_free_frame pmm_free_frames pmm_get_node_stats pmm_is_used pmm_try_mark_used port_barrier_all port_callers port_format port_log port_misuse port_symbol \
                   strcmp vmm_alloc vmm_commit vmm_decommit vmm_find vmm_free_range vmm_kernel vmm_next_range vmm_resize

# What is in a room of mm/ (mm/pmm/) may call each other: it is looked at as one object.
MM_ROOMS   := heap paging pmm vmm
MM_ROOM_OF  = $(filter $(BUILD)/mm/$(1)/%,$(MM_OBJS))
MM_LAYERS  := $(filter-out $(foreach r,$(MM_ROOMS),$(call MM_ROOM_OF,$(r))),$(MM_OBJS)) \
              $(MM_ROOMS:%=$(BUILD)/mm/%.room.o)
$(BUILD)/mm/%.room.o: $(MM_OBJS)
	$(Q)ld.lld -r $(call MM_ROOM_OF,$*) -o $@

mm-layering: $(MM_LAYERS)
	@bad=0; for object in $(MM_LAYERS); do $(foreach o,$(MM_LAYERS),\
	  if [ $$object = $(o) ]; then allowed=' $(MM_ALLOW_ALL) $(MM_ALLOW_$(basename $(basename $(notdir $(o))))) '; fi;) \
	  for symbol in $$(nm -u $$object | awk '{print $$NF}'); do \
	    case "$$allowed" in *" $$symbol "*) ;; *) echo "$$object: must not use $$symbol"; bad=1;; esac; \
	  done; done; exit $$bad
	@! objdump -dr $(filter %/string.o,$(MM_OBJS)) | grep -E '(call|jmp).*<(mem|str)[a-z0-9]*>$$|PLT32.*(mem|str)' \
	  || { echo 'mm/string.c: compiled into calls to itself'; exit 1; }

.PHONY: host-tests host-test mm-layering
-include $(HOST_OBJS:.o=.d)

# ---- kernel/: what needs no machine --------------------------------------------------------------
# Each test program and the kernel files it is linked with. test_console.c and context_rig.h
# include what they test, because its state is static.
HOST_KERNEL_font    := console/font console/utf8 console/fonts
HOST_KERNEL_json    := report/json console/print console/utf8
HOST_KERNEL_console := console/screen console/font console/utf8 console/fonts
HOST_KERNEL_input   := monitor/input monitor/keyboard monitor/lineedit console/print
HOST_KERNEL_mapview := report/mapview report/units console/print
HOST_KERNEL_context :=
HOST_KERNEL_context_memory :=
HOST_KERNEL_context_cpus :=
HOST_KERNEL_context_noise :=
HOST_KERNEL_acpi    := firmware/acpi_tables firmware/aml
HOST_KERNEL_acpi_madt := firmware/madt firmware/subtables console/print
HOST_KERNEL_srat    := firmware/srat firmware/subtables console/print
HOST_KERNEL_print   := console/print
HOST_KERNEL_explain := panic/explain ranges panic/symbols options console/print panic/symbol_table
HOST_KERNEL_NAMES   := font json console input mapview context context_memory context_cpus \
                       context_noise acpi acpi_madt srat print explain
HOST_KERNEL_COMMON  := $(BUILD)/host/mm/region.o $(BUILD)/host/mm/lock.o \
                       $(BUILD)/host/tests/host/one_cpu.o
HOST_KERNEL_TESTS   := $(HOST_KERNEL_NAMES:%=$(BUILD)/host/test_%)
HOST_KERNEL_OBJS    := $(HOST_KERNEL_COMMON) $(HOST_KERNEL_NAMES:%=$(BUILD)/host/tests/host/test_%.o) \
                       $(sort $(foreach t,$(HOST_KERNEL_NAMES),$(HOST_KERNEL_$(t):%=$(BUILD)/host/kernel/%.o)))

$(HOST_KERNEL_OBJS): HOST_CFLAGS += -Ikernel -I$(BUILD)
$(BUILD)/host/kernel/console/fonts.o: kernel/console/fonts.S $(FONTS:%=$(BUILD)/fonts/%.psf)
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) -I$(BUILD) -c $< -o $@
$(BUILD)/host/kernel/panic/symbol_table.o: tests/host/symbols.nm kernel/panic/symbols.awk
	@mkdir -p $(@D)
	$(Q)awk -f kernel/panic/symbols.awk $< | $(HOSTCC) -x assembler -c - -o $@

$(foreach t,$(HOST_KERNEL_NAMES),\
  $(eval $(BUILD)/host/test_$(t): $(HOST_KERNEL_$(t):%=$(BUILD)/host/kernel/%.o)))
$(filter $(BUILD)/host/test_context%,$(HOST_KERNEL_TESTS)): $(BUILD)/host/mm/early.o
$(BUILD)/host/test_srat: $(BUILD)/host/mm/numa.o
$(HOST_KERNEL_TESTS): $(BUILD)/host/test_%: $(BUILD)/host/tests/host/test_%.o $(HOST_KERNEL_COMMON)
	$(Q)$(HOSTCC) $(HOST_SANITIZE) $^ $(HOST_LIBS) -o $@

HOST_TESTS += $(HOST_KERNEL_TESTS)
host-tests host-test: $(HOST_KERNEL_TESTS)
-include $(HOST_KERNEL_OBJS:.o=.d)
