/* Owns: the table of workloads. */
#include "heap.h"

#define M       1000000u
#define ONE     1, 1
#define ALL     1, THREADS_MAX
#define SEVERAL 2, THREADS_MAX
#define EACH(b) (b), (b), false /* every object has so many bytes */
#define LAT(n)                                   \
    {                                            \
        n "-p50", n "-p99", n "-p99.9", n "-max" \
    }

const struct workload workloads[] = {
    {{"pair-16"}, pairs, 2 * M, 1, EACH(16), ALL, COUNTS},
    {{"pair-64"}, pairs, 2 * M, 1, EACH(64), ALL, 0},
    {{"pair-256"}, pairs, 2 * M, 1, EACH(256), ALL, COUNTS},
    {{"pair-4096"}, pairs, 2 * M, 1, EACH(4096), ALL, COUNTS},
    {{"batch-16"}, batches, 2 * M, 1000, EACH(16), ALL, COUNTS},
    {{"batch-256"}, batches, 2 * M, 1000, EACH(256), ALL, COUNTS},
    {{"batch-4096"}, batches, 1 * M, 1000, EACH(4096), ALL, COUNTS | PEAK},
    {{"shuffled-64"}, shuffled, 2 * M, 1000, EACH(64), ALL, COUNTS},
    {{"shuffled-256"}, shuffled, 2 * M, 1000, EACH(256), ALL, COUNTS},
    {{"shuffled-4096"}, shuffled, 1 * M, 1000, EACH(4096), ALL, COUNTS},
    {{"live-100"}, live, 1 * M, 100, 16, 256, false, ALL, 0},
    {{"live-1000"}, live, 1 * M, 1000, 16, 256, false, ALL, 0},
    {{"live-10000"}, live, 1 * M, 10000, 16, 256, false, ALL, 0},
    {{"live-100000"}, live, 1 * M, 100000, 16, 256, false, ALL, PEAK},
    {{"live-1000000"}, live, 1 * M, 1000000, 16, 256, false, ALL, COUNTS | PEAK},
    {{"remote-64"}, remote, 1 * M, 1000, EACH(64), SEVERAL, COUNTS | PEAK},
    {{"remote-1024"}, remote, 1 * M, 1000, EACH(1024), SEVERAL, COUNTS | PEAK},
    {{"calloc-64"}, pairs_calloc, 2 * M, 1, EACH(64), ALL, COUNTS},
    {{"aligned-200"}, pairs_aligned, 2 * M, 1, EACH(200), ALL, COUNTS},
    {{"realloc-growth"}, growth, M / 2, 16, 16, 65536, false, ALL, COUNTS},
    {{"mixed-1-1024"}, live, 1 * M, 1000, 1, 1024, false, ALL, COUNTS | PEAK},
    {{"power-law"}, live, 1 * M, 10000, 16, 32768, true, ALL, COUNTS | PEAK},
    {{"fifo"}, fifo, 1 * M, 10000, 32, 160, false, ALL, COUNTS | PEAK},
    {{"tree"}, tree, 1 * M, 20000, EACH(48), ALL, COUNTS | PEAK},
    {{"strings"}, strings, 1 * M, 1000, 1, 24, false, ALL, COUNTS | PEAK},
    {{"buffers"}, live, M / 4, 64, 4096, 262144, true, ALL, COUNTS | PEAK},
    {{"larson"}, larson, 1 * M, 5000, 8, 512, false, ALL, OWN | PEAK},
    {LAT("latency-steady"), latency_steady, 0, 100000, 16, 1024, false, ONE, LATENCY},
    {LAT("latency-grow"), latency_grow, 0, CALLS_MAX, 16, 1024, false, ONE, LATENCY},
    {LAT("latency-shrink"), latency_shrink, 0, CALLS_MAX, 16, 1024, false, ONE, LATENCY},
};
const unsigned nworkloads = sizeof workloads / sizeof workloads[0];

const struct workload selftest = {{"self-test"}, every_byte, M / 10, 2000, 1, 65536, true, ALL, 0};
