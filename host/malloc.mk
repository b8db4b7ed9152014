# The heap under any Linux program: `make host`. Included by the top-level Makefile.
#   LD_PRELOAD=build/host/libquicklime-malloc.so program

MALLOC      := $(BUILD)/host/libquicklime-malloc.so
MALLOC_MM   := $(sort $(filter-out $(MM_REAL) $(HEAP_DEBUG),$(filter heap/% hhdm.c lock.c numa.c pmm/% region.c string.c,$(MM_SRCS))) $(HEAP_FAST))
MALLOC_SRCS := $(MALLOC_MM:%=mm/%) host/callers.c host/ranges.c host/sample_pages.c \
               $(patsubst %,host/malloc/%.c,fork give_back machine malloc new options port recycle threads)
MALLOC_OBJS := $(MALLOC_SRCS:%.c=$(BUILD)/malloc/%.o) $(BUILD)/malloc/short.o

# What is seldom called, so that what is called lies close together.
MALLOC_SMALL := $(addprefix heap/,classes node object_cache origin sample stats validate) $(addprefix pmm/,admin poison stats validate zone)
# What a program needs that does little lies together, in the order of host/malloc/order.txt.
# Optimised as a whole, so that malloc is the heap's own short way; all but its names is hidden.
MALLOC_CFLAGS := -std=gnu11 -O2 -gdwarf-4 -fPIC -flto -ftls-model=initial-exec -DQL_HOST -DCONFIG_CPUS_MAX=1024 -DCONFIG_HEAP_CACHES_MAX=0 -DCONFIG_HEAP_INITIAL_BYTES=0 -DQL_LOCK_UNFAIR -DPAGE_MAP_GROWS \
                 -Iinclude -fvisibility=hidden -fomit-frame-pointer \
                 -fno-asynchronous-unwind-tables -fno-common $(WARN) -MMD -MP $(if $(DEBUG),-DQL_DEBUG)
$(BUILD)/malloc/mm/%.o: MALLOC_CFLAGS += -fno-builtin $(if $(filter $(MALLOC_SMALL),$*),-Os)
# The heap's frames come and go by way of host/malloc/give_back.c.
$(BUILD)/malloc/mm/heap/%.o: MALLOC_CFLAGS += -Dpmm_alloc_frames=frames_alloc -Dpmm_free_frames=frames_free \
                                             -Dpmm_try_mark_used=frames_grow
$(BUILD)/malloc/host/%.o: MALLOC_CFLAGS += -D_GNU_SOURCE -Ihost -fno-builtin-malloc
$(BUILD)/malloc/host/malloc/new.o: MALLOC_CFLAGS += -fexceptions -Wno-strict-prototypes

$(BUILD)/malloc/%.o: %.c Makefile host/malloc.mk | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(MALLOC_CFLAGS) -c $< -o $@

$(BUILD)/malloc/mm/heap/realloc.o: MALLOC_CFLAGS += -Dcore_alloc=outer_alloc

# malloc and free are the heap's short ways under other names.
$(BUILD)/malloc/short.o: mm/heap/kmalloc.c Makefile host/malloc.mk | setup
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(MALLOC_CFLAGS) -fno-builtin -fvisibility=default -Dkmalloc=malloc -Dkfree=free -Dcore_alloc=outer_alloc \
	 -Dcore_free=outer_free -c $< -o $@

$(MALLOC): $(MALLOC_OBJS) host/malloc/order.txt
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CLANG) -O2 -flto -fuse-ld=lld -shared -Wl,-soname,libquicklime-malloc.so -Wl,-z,defs \
	 -Wl,-z,now -Wl,-z,nodelete -Wl,--gc-sections -Wl,-Bsymbolic -Wl,--no-rosegment -Wl,-O2 -Wl,--hash-style=gnu \
	 -Wl,--symbol-ordering-file=host/malloc/order.txt -Wl,--no-warn-symbol-ordering $(MALLOC_OBJS) -o $@

host-malloc: $(MALLOC)

.PHONY: host-malloc
-include $(MALLOC_OBJS:.o=.d)
