# Benchmarks of the memory manager as a Linux library. Included by the top-level Makefile.
#   bench-frames-run   time the frame allocator: ROWS=regex REPEAT=n THREADS="1 2" THEIRS=/path/to/lib.so

BENCH_FRAMES      := $(BUILD)/bench/frames
BENCH_FRAMES_SRCS := buddy.c checked.c full.c main.c ours.c plain.c scan.c theirs.c worker.c workloads.c
BENCH_FRAMES_OBJS := $(BENCH_FRAMES_SRCS:%.c=$(BUILD)/bench/frames.o/%.o)
BENCH_CFLAGS      := -std=gnu11 -O2 -g -Wall -Wextra -Wshadow -Werror -MMD -MP -I$(BUILD)/host/include

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
