/* An allocator from outside, behind theirs.h. */
#include "theirs.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "contestant.h"

static struct {
    int (*start)(uint64_t ram_bytes, unsigned cpus);
    uint64_t ram_bytes;
    unsigned cpus;
} given;
static struct contestant theirs;

static uint64_t theirs_start_timed(uint64_t ram_bytes, unsigned cpus)
{
    given.ram_bytes = ram_bytes;
    given.cpus = cpus;
    uint64_t before = clock_wall();
    return given.start(ram_bytes, cpus) == 0 ? clock_wall() - before + 1 : 0;
}

static uint64_t theirs_start_again(void)
{
    return theirs_start_timed(given.ram_bytes, given.cpus);
}

static mm_status_t round_up_alloc(uint64_t n, const struct pmm_limits *limits, paddr_t *out)
{
    return theirs.alloc_order(order_for(n), limits, out);
}

static mm_status_t round_up_free(paddr_t base, uint64_t n)
{
    return theirs.free_order(base, order_for(n));
}

/* Where the address of each function goes. */
static const struct symbol {
    const char *name;
    void *pointer; /* to a pointer to a function of whatever type */
    bool optional;
} symbols[] = {
    {"theirs_start", &given.start, false},
    {"theirs_stop", &theirs.stop, false},
    {"theirs_bind_cpu", &theirs.bind_cpu, false},
    {"theirs_metadata_bytes", &theirs.metadata_bytes, false},
    {"theirs_alloc_frame", &theirs.alloc_frame, false},
    {"theirs_free_frame", &theirs.free_frame, false},
    {"theirs_alloc_order", &theirs.alloc_order, false},
    {"theirs_free_order", &theirs.free_order, false},
    {"theirs_alloc_frames", &theirs.alloc_frames, true},
    {"theirs_free_frames", &theirs.free_frames, true},
};

static bool find_all(void *library)
{
    bool all = true;
    for (unsigned i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        void *function = dlsym(library, symbols[i].name);
        if (function == NULL && !symbols[i].optional) {
            fprintf(stderr, "bench-frames: THEIRS has no %s\n", symbols[i].name);
            all = false;
        }
        /* Not a cast: C has none from an object's address to a function's. */
        memcpy(symbols[i].pointer, &function, sizeof function);
    }
    return all;
}

const struct contestant *theirs_open(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "bench-frames: THEIRS: %s\n", dlerror());
        return NULL;
    }
    if (!find_all(library))
        return NULL;
    theirs.name = "theirs";
    theirs.start = theirs_start_timed;
    theirs.start_again = theirs_start_again;
    if (theirs.alloc_frames == NULL || theirs.free_frames == NULL) {
        theirs.alloc_frames = round_up_alloc;
        theirs.free_frames = round_up_free;
    }
    return &theirs;
}
