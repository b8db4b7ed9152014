/* Owns: the names of what can be tuned.
 * Relies on: the heap, the options. Stage: after heap_init. */
#include "tuning.h"

#include "check.h"
#include "console/print.h"
#include "mm/heap_stats.h"
#include "mm/string.h"
#include "options.h"

static const struct setting {
    const char *name, *unit;
    size_t offset; /* in struct heap_tuning */
    uint32_t low, high;
} settings[] = {
    {"reserve", "pages of empty slabs that a CPU keeps",
     offsetof(struct heap_tuning, reserve_pages), 0, HEAP_RESERVE_PAGES_MAX},
    {"depth", "slabs with free objects that a CPU keeps of a class",
     offsetof(struct heap_tuning, cache_depth), 1, HEAP_CACHE_DEPTH_MAX},
    {"debug", "what is checked, in a kernel made with DEBUG_MEMORY=1",
     offsetof(struct heap_tuning, debug_level), 0, HEAP_DEBUG_LEVEL_MAX},
    {"sample", "one object in so many between guard pages, or 0",
     offsetof(struct heap_tuning, sample_rate), HEAP_SAMPLE_RATE_MIN, HEAP_SAMPLE_RATE_MAX},
};
#define SETTINGS (sizeof settings / sizeof settings[0])

static uint32_t *member(struct heap_tuning *tuning, const struct setting *setting)
{
    return (uint32_t *)((char *)tuning + setting->offset);
}

const char *tuning_name(unsigned i)
{
    return i < SETTINGS ? settings[i].name : NULL;
}

const char *tuning_unit(unsigned i)
{
    return settings[i].unit;
}

uint32_t tuning_value(unsigned i)
{
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    return *member(&tuning, &settings[i]);
}

uint32_t tuning_sample(uint32_t rate)
{
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    uint32_t before = tuning.sample_rate;
    tuning.sample_rate = rate;
    ASSERT(heap_tune(&tuning) == MM_OK);
    return before;
}

static bool parse(const char *text, uint32_t *value)
{
    uint64_t n = 0;
    bool digits = *text != '\0';
    for (; *text >= '0' && *text <= '9' && n <= UINT32_MAX; text++)
        n = n * 10 + (unsigned)(*text - '0');
    *value = (uint32_t)n;
    return digits && *text == '\0' && n <= UINT32_MAX;
}

static void set(const char *prefix, const struct setting *setting, const char *text)
{
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    bool number = parse(text, member(&tuning, setting));
    mm_status_t status = number ? heap_tune(&tuning) : MM_RANGE;
    if (status == MM_RANGE)
        kprintf("%s%s: \"%s\" is not a number from %u to %u%s\n", prefix, setting->name, text,
                setting->low, setting->high, setting->low > 1 ? ", or 0" : "");
    else if (status != MM_OK)
        kprintf("%s%s: this kernel is not made with DEBUG_MEMORY=1\n", prefix, setting->name);
}

bool tuning_set(const char *prefix, const char *name, const char *value)
{
    for (unsigned i = 0; i < SETTINGS; i++)
        if (strcmp(settings[i].name, name) == 0) {
            set(prefix, &settings[i], value);
            return true;
        }
    return false;
}

void tuning_from_options(void)
{
    for (unsigned i = 0; i < SETTINGS; i++) {
        char option[16], value[16];
        ksnprintf(option, sizeof option, "heap_%s", settings[i].name);
        if (option_get(option, value, sizeof value))
            set("option heap_", &settings[i], value);
    }
}
