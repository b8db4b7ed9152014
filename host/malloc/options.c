/* Owns: QUICKLIME_MALLOC in the environment, and the figures at the end of the program.
 * Relies on: the constructor, as the environment is not there before.
 *
 *   QUICKLIME_MALLOC=stats            a line on stderr at exit
 *   QUICKLIME_MALLOC=stats=PATH       the line is appended to a file
 *   QUICKLIME_MALLOC=classes          and a line for each size class
 *   QUICKLIME_MALLOC=reserve=PAGES    of empty slabs that each thread keeps (config.h has the ranges)
 *   QUICKLIME_MALLOC=depth=SLABS      with free objects that each thread keeps of a class
 *   QUICKLIME_MALLOC=sample=N         one in so many objects lies between guard pages; 0: none
 *   QUICKLIME_MALLOC=range=BYTES      the least that is mapped by itself
 * Several are separated by commas. What cannot be understood is named on stderr, and left out. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parts.h"
#include "mm/heap_stats.h"
#include "../../mm/heap/origin.h"
#include "../../mm/heap/runs.h"
#include "../../mm/heap/sample.h"

#define OPTIONS_BYTES 512

static struct {
    bool stats, classes;
    char path[OPTIONS_BYTES]; /* empty: stderr */
} options;

static bool is_number(const char *option, const char *name, uint64_t *out)
{
    size_t length = strlen(name);
    char *end;
    if (strncmp(option, name, length) != 0 || option[length] < '0' || option[length] > '9')
        return false;
    errno = 0;
    *out = strtoull(option + length, &end, 10);
    return *end == '\0' && errno == 0;
}

/* What can be tuned: the heap says whether the value makes sense. */
static bool tune(const char *option)
{
    struct heap_tuning tuning;
    uint64_t value;
    bool fixed = reserve_is_fixed;
    heap_get_tuning(&tuning);
    if (is_number(option, "reserve=", &value) && value <= UINT32_MAX) {
        tuning.reserve_pages = (uint32_t)value;
        fixed = true;
    } else if (is_number(option, "depth=", &value) && value <= UINT32_MAX)
        tuning.cache_depth = (uint32_t)value;
    else if (is_number(option, "sample=", &value) && value <= UINT32_MAX)
        tuning.sample_rate = (uint32_t)value;
    else
        return false;
    if (heap_tune(&tuning) != MM_OK)
        return false;
    reserve_is_fixed = fixed;
    return true;
}

static void read_option(const char *option)
{
    size_t value = strcspn(option, "=");
    uint64_t bytes;
    if (is_number(option, "range=", &bytes) && bytes >= HEAP_RANGE_BYTES) {
        large_range_bytes = bytes;
    } else if (strcmp(option, "stats") == 0) {
        options.stats = true;
    } else if (strcmp(option, "classes") == 0) {
        options.stats = options.classes = true;
    } else if (strncmp(option, "stats=", 6) == 0) {
        options.stats = true;
        strcpy(options.path, option + value + 1); /* a part of a text of that size */
    } else if (!tune(option)) {
        say("QUICKLIME_MALLOC: there is no option \"%s\", or not with that value", option);
    }
}

/* What a sampled object was, whose page was touched that cannot be: the program then ends as it would
 * have. */
static void explain_fault(int signal, siginfo_t *info, void *context)
{
    struct heap_origin origin;
    char words[ORIGIN_WORDS];
    (void)context;
    if (info->si_code <= 0) { /* sent by somebody: the instruction would not fault again */
        raise(signal);
        return;
    }
    if (!sample_owns(info->si_addr) || sample_find(info->si_addr, &origin) != MM_OK)
        return;
    origin_words(&origin, words, sizeof words);
    say("misuse: access at %p, %ld bytes from the start of %s", info->si_addr,
        (long)((char *)info->si_addr - (const char *)origin.object), words);
}

static void explain_faults(void)
{
    struct sigaction action = {.sa_sigaction = explain_fault,
                               .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER};
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    if (tuning.sample_rate != 0)
        sigaction(SIGSEGV, &action, NULL);
}

static void options_read(const char *wishes)
{
    char text[OPTIONS_BYTES];
    if (strlen(wishes) >= sizeof text) {
        say("QUICKLIME_MALLOC: it is longer than %zu bytes", sizeof text - 1);
        return;
    }
    strcpy(text, wishes);
    char *rest, *option = strtok_r(text, ",", &rest);
    for (; option != NULL; option = strtok_r(NULL, ",", &rest))
        read_option(option);
    explain_faults();
}

/* Without wishes the heap starts when something is allocated: many a program never does. What is to be
 * told of threads and forks does not wait for that, as the program may ask for the same. */
__attribute__((constructor)) static void begin(void)
{
    threads_init();
    fork_init();
    const char *wishes = secure_getenv("QUICKLIME_MALLOC");
    if (wishes == NULL || wishes[0] == '\0')
        return;
    thread_exit(!thread_is_cpu() && thread_enter());
    options_read(wishes);
}

/* --- At the end ------------------------------------------------------------------------------------ */

static void write_line(int file, const char *fmt, ...)
{
    char line[256];
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (file < 0 || write(file, line, (size_t)length) < 0)
        say("QUICKLIME_MALLOC: cannot write to \"%s\"", options.path);
}

static void write_classes(int file)
{
    for (unsigned class = 0; class < heap_class_count(); class ++) {
        struct heap_stats s;
        if (heap_get_stats(class, HEAP_ALL, &s) == MM_OK && s.allocations != 0)
            write_line(file,
                       "%8s %10lu live %10lu peak %12lu allocations %10lu remote %8lu slabs %10lu "
                       "KiB %8lu KiB waste\n",
                       heap_class_name(class), s.live, s.peak, s.allocations, s.remote_frees,
                       s.slabs, s.slab_bytes >> 10, s.waste_bytes >> 10);
    }
}

__attribute__((destructor)) static void end(void)
{
    struct heap_totals t;
    if (!options.stats)
        return;
    bool common = thread_enter();
    recycle_end();
    heap_get_totals(&t);
    thread_exit(common);
    int file = options.path[0] == '\0' ? STDERR_FILENO
                                       : open(options.path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    write_line(
        file,
        "quicklime: %s[%d]: %lu allocations, %lu frees, %lu live, %lu failures, %lu KiB in slabs, "
        "%lu KiB in reserve, %lu KiB of descriptors, %u threads\n",
        program_invocation_short_name, (int)getpid(), t.all.allocations, t.all.frees, t.all.live,
        t.all.failures, t.all.slab_bytes >> 10, t.reserve_bytes >> 10, t.descriptor_bytes >> 10,
        threads_most());
    if (options.classes)
        write_classes(file);
    if (file > STDERR_FILENO)
        close(file);
}
