# Programs for tests/programs/: what runs on the heap as malloc. Included by the top-level Makefile.

UNITS      := $(BUILD)/programs/units $(BUILD)/programs/units_new
UNITS_OBJS := $(patsubst %,$(BUILD)/programs/%.o,units units_threads units_forks units_start)

$(BUILD)/programs/%.o: tests/programs/%.c tests/programs/units.h | setup-test
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) -std=gnu11 -O1 -g -fno-builtin -D_GNU_SOURCE -Wall -Wextra -Wshadow -Werror -pthread -c $< -o $@
$(BUILD)/programs/units: $(UNITS_OBJS)
	$(call say,LD)
	$(Q)$(CLANG) -pthread $^ -o $@
$(BUILD)/programs/units_new: tests/programs/units_new.cc | setup-test
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)clang++ -std=c++17 -fsized-deallocation -O1 -g -fno-builtin -Wall -Wextra -Wshadow -Werror -pthread $< -o $@

malloc-programs: $(UNITS) host-malloc

.PHONY: malloc-programs
