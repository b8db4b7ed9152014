/* Owns: who takes part; the processes that they run in. */
#define _GNU_SOURCE
#include "heap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT_PART 32u /* of the operations are counted, then twice as many */

const char *const contestant_names[CONTESTANTS] = {"ours",     "glibc",    "mimalloc",
                                                   "jemalloc", "tcmalloc", "theirs"};

/* What is preloaded; NULL: takes no part; "": nothing. */
static const char *libraries[CONTESTANTS] = {
    NULL, "", "libmimalloc.so.2", "libjemalloc.so.2", "libtcmalloc_minimal.so.4", NULL};
static char wrong[160];
static char profile[256] = "/dev/null"; /* where callgrind's goes */
static int errand_fd;

void contestants_find(void)
{
    libraries[OURS] = option("OURS", NULL);
    libraries[THEIRS] = option("THEIRS", NULL);
    errand_fd = memfd_create("errand", 0);
    if (errand_fd < 0 || ftruncate(errand_fd, sizeof *errand) != 0) {
        perror("bench-heap: memory to share");
        exit(2);
    }
    errand = mmap(NULL, sizeof *errand, PROT_READ | PROT_WRITE, MAP_SHARED, errand_fd, 0);
    if (errand == MAP_FAILED)
        exit(2);
}

bool contestant_there(unsigned contestant)
{
    return libraries[contestant] != NULL;
}

void contestant_leave_out(unsigned contestant)
{
    libraries[contestant] = NULL;
}

/* --- A process ---------------------------------------------------------------------------------- */

/* Its file's name is what the worker looks for. */
static const char *file_of(const char *library)
{
    const char *slash = strrchr(library, '/');
    const char *file = slash != NULL ? slash + 1 : library;
    return file;
}

static _Noreturn void become_worker(const char *library, bool same_addresses, int log_fd)
{
    char fd[16], log[32], out[300];
    snprintf(fd, sizeof fd, "%d", errand_fd);
    snprintf(log, sizeof log, "--log-fd=%d", log_fd);
    snprintf(out, sizeof out, "--callgrind-out-file=%s", profile);
    if (library[0] != '\0')
        setenv("LD_PRELOAD", library, 1);
    if (same_addresses)
        (void)personality(ADDR_NO_RANDOMIZE); /* without it the figures are a little worse */
    if (log_fd >= 0)
        /* callgrind, unlike memcheck, leaves malloc alone. */
        execlp("valgrind", "valgrind", "--tool=callgrind", out, log, "--", program_invocation_name,
               "worker", fd, (char *)NULL);
    else
        execl("/proc/self/exe", program_invocation_name, "worker", fd, (char *)NULL);
    _exit(127);
}

static pid_t start(unsigned contestant, const struct workload *workload, unsigned cpus,
                   uint64_t seed, unsigned part, int log_fd)
{
    memset(errand, 0, offsetof(struct errand, ticks));
    errand->workload = (unsigned)(workload == &selftest ? nworkloads : workload - workloads);
    errand->cpus = cpus;
    errand->seed = seed;
    errand->part = part;
    snprintf(errand->library, sizeof errand->library, "%s", file_of(libraries[contestant]));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        become_worker(libraries[contestant], workload->flags & LATENCY, log_fd);
    if (child < 0) {
        perror("bench-heap: fork");
        exit(2);
    }
    return child;
}

/* NULL, or how it went wrong. */
static const char *end(pid_t child)
{
    int status;
    if (waitpid(child, &status, 0) != child)
        return "is lost";
    if (errand->broken[0] != '\0')
        snprintf(wrong, sizeof wrong, "%s", errand->broken);
    else if (WIFSIGNALED(status))
        snprintf(wrong, sizeof wrong, "ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0 || !errand->done)
        snprintf(wrong, sizeof wrong, "ended with status %d", WEXITSTATUS(status));
    else
        return NULL;
    return wrong;
}

const char *contestant_run(unsigned contestant, const struct workload *workload, unsigned cpus,
                           uint64_t seed)
{
    return end(start(contestant, workload, cpus, seed, 1, -1));
}

/* --- Instructions ------------------------------------------------------------------------------- */

/* Of a whole process that does one in so many of the operations. */
static double count(unsigned contestant, const struct workload *workload, unsigned cpus,
                    unsigned part, uint64_t *ops)
{
    int ends[2];
    char line[256];
    double instructions = NOTHING;
    if (pipe(ends) != 0)
        return NOTHING;
    pid_t child = start(contestant, workload, cpus, 1, part, ends[1]);
    close(ends[1]);
    FILE *log = fdopen(ends[0], "r");
    while (log != NULL && fgets(line, sizeof line, log) != NULL) {
        const char *said = strstr(line, "Collected : ");
        if (said != NULL)
            instructions = strtod(said + strlen("Collected : "), NULL);
    }
    if (log != NULL)
        fclose(log);
    bool good = end(child) == NULL;
    *ops = errand->ops;
    return good ? instructions : NOTHING;
}

/* The difference is that of the operations, without the way there and back. */
double contestant_count(unsigned contestant, const struct workload *workload, unsigned cpus)
{
    uint64_t few, many;
    const char *folder = option("PROFILE", NULL);
    double some = count(contestant, workload, cpus, 2 * COUNT_PART, &few);
    if (folder != NULL)
        snprintf(profile, sizeof profile, "%s/%s-%u.%s", folder, workload->rows[0], cpus,
                 contestant_names[contestant]);
    double more = count(contestant, workload, cpus, COUNT_PART, &many);
    strcpy(profile, "/dev/null");
    return some > 0 && more > some && many > few ? (more - some) / (double)(many - few) : NOTHING;
}
