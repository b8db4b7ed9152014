# Fuzzers of the memory manager, with libFuzzer. Included by the top-level Makefile.
#   fuzz   look for sequences of calls that break the heap: SECONDS=n; what is found is kept in
#          $(BUILD)/fuzz/corpus, and goes on from there

SECONDS ?= 60

FUZZ_OBJS   := $(HOST_COMMON:$(BUILD)/host/%=$(BUILD)/fuzz/%) $(BUILD)/fuzz/tests/fuzz/heap.o
FUZZ_CFLAGS := $(HOST_CFLAGS) -fsanitize=fuzzer-no-link

$(BUILD)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(FUZZ_CFLAGS) -c $< -o $@

$(BUILD)/fuzz/heap: $(FUZZ_OBJS)
	$(Q)$(HOSTCC) $(HOST_LDFLAGS) -fsanitize=fuzzer $^ $(HOST_LIBS) -o $@

$(BUILD)/fuzz/test_fuzz_heap: tests/fuzz/test_fuzz_heap.c | $(BUILD)/fuzz/heap
	$(Q)$(HOSTCC) $(HOST_CFLAGS) $< $(HOST_LIBS) -o $@

fuzz-run: $(BUILD)/fuzz/heap
	@mkdir -p $(BUILD)/fuzz/corpus $(BUILD)/fuzz/seeds
	$(BUILD)/fuzz/heap -max_len=4098 -max_total_time=$(SECONDS) -print_final_stats=1 \
	 -artifact_prefix=$(BUILD)/fuzz/ $(BUILD)/fuzz/corpus $(BUILD)/fuzz/seeds

HOST_TESTS += $(BUILD)/fuzz/test_fuzz_heap
.PHONY: fuzz-run
-include $(FUZZ_OBJS:.o=.d)
