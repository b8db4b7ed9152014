# Benchmarks of the memory manager as a Linux library. Included by the top-level Makefile.
BENCH_COMMON := $(patsubst %,$(BUILD)/bench/common.o/%.o,crew table)

$(BUILD)/bench/common.o/%.o: tests/bench/common/%.c | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(BENCH_CFLAGS) -c $< -o $@
-include $(BENCH_COMMON:.o=.d)

# ---- frames --------------------------------------------------------------------------------------
#   bench-frames-run   time the frame allocator: ROWS=regex REPEAT=n THREADS="1 2" THEIRS=/path/to/lib.so

BENCH_FRAMES      := $(BUILD)/bench/frames
BENCH_FRAMES_SRCS := buddy.c checked.c full.c main.c ours.c plain.c scan.c theirs.c worker.c workloads.c
BENCH_FRAMES_OBJS := $(BENCH_FRAMES_SRCS:%.c=$(BUILD)/bench/frames.o/%.o) $(BENCH_COMMON)
BENCH_CFLAGS      := -std=gnu11 -O2 -gdwarf-4 -Wall -Wextra -Wshadow -Werror -MMD -MP -I$(BUILD)/host/include

$(BUILD)/bench/frames.o/%.o: tests/bench/frames/%.c $(HOSTLIB_INSTALLED) | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(BENCH_CFLAGS) -c $< -o $@

$(BENCH_FRAMES): $(BENCH_FRAMES_OBJS) $(HOSTLIB)
	$(call say,LD)
	$(Q)$(CLANG) $(BENCH_FRAMES_OBJS) -L$(BUILD)/host -lquicklime -Wl,-rpath,$(abspath $(BUILD)/host) \
	 -pthread -ldl -o $@

bench-frames-run: $(BENCH_FRAMES)
	@ROWS='$(ROWS)' REPEAT='$(REPEAT)' THREADS='$(THREADS)' THEIRS='$(THEIRS)' $(BENCH_FRAMES)

.PHONY: bench-frames-run
-include $(BENCH_FRAMES_OBJS:.o=.d)

# ---- page tables ---------------------------------------------------------------------------------
#   bench-pages-run    time the page tables: ROWS=regex REPEAT=n
BENCH_PAGES      := $(BUILD)/bench/pages
BENCH_PAGES_OBJS := $(patsubst %,$(BUILD)/bench/pages.o/%.o,clock floor main walk)

$(BUILD)/bench/pages.o/%.o: tests/bench/pages/%.c $(HOSTLIB_INSTALLED) | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(BENCH_CFLAGS) -c $< -o $@

$(BENCH_PAGES): $(BENCH_PAGES_OBJS) $(HOSTLIB)
	$(call say,LD)
	$(Q)$(CLANG) $(BENCH_PAGES_OBJS) -L$(BUILD)/host -lquicklime -Wl,-rpath,$(abspath $(BUILD)/host) -o $@

bench-pages-run: $(BENCH_PAGES)
	@ROWS='$(ROWS)' REPEAT='$(REPEAT)' $(BENCH_PAGES)

.PHONY: bench-pages-run
-include $(BENCH_PAGES_OBJS:.o=.d)

# ---- whole programs on our malloc and others -----------------------------------------------------------
#   bench-programs-run    ROWS=regex REPEAT=n THEIRS=/path/to/lib.so
$(BUILD)/bench/run: tests/bench/programs/run.c
$(BUILD)/bench/programs: tests/bench/programs/main.c
$(BUILD)/bench/run $(BUILD)/bench/programs: | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) -std=gnu11 -O2 -g -fno-builtin-malloc -D_GNU_SOURCE -Wall -Wextra -Wshadow -Werror -pthread $< -o $@

bench-programs-run: $(BUILD)/bench/programs $(BUILD)/bench/run host-malloc setup-bench
	@BUILD=$(BUILD) ROWS='$(ROWS)' REPEAT='$(REPEAT)' THEIRS='$(THEIRS)' $(PYTHON) -B tests/bench/programs.py

.PHONY: bench-programs-run

# ---- the heap ------------------------------------------------------------------------------------
#   bench-heap-run     time malloc: ROWS=regex REPEAT=n THREADS="1 2" THEIRS=/path/to/lib.so INSTR=1
BENCH_HEAP      := $(BUILD)/bench/heap
BENCH_HEAP_OBJS := $(patsubst %,$(BUILD)/bench/heap.o/%.o,contestants latency main plain programs selftest \
                     worker workloads) $(BENCH_COMMON)

$(BUILD)/bench/heap.o/%.o: tests/bench/heap/%.c | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(BENCH_CFLAGS) -fno-builtin -c $< -o $@

$(BENCH_HEAP): $(BENCH_HEAP_OBJS)
	$(call say,LD)
	$(Q)$(CLANG) $(BENCH_HEAP_OBJS) -pthread -ldl -lm -o $@

OURS ?= $(abspath $(BUILD)/host/libquicklime-malloc.so)
bench-heap-run: $(BENCH_HEAP) $(MALLOC) setup-bench
	@ROWS='$(ROWS)' REPEAT='$(REPEAT)' THREADS='$(THREADS)' THEIRS='$(THEIRS)' OURS='$(OURS)' INSTR='$(INSTR)' \
	 $(BENCH_HEAP)

.PHONY: bench-heap-run
-include $(BENCH_HEAP_OBJS:.o=.d)
