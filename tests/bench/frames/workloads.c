/* Owns: the table of workloads, one line for each row of the report, or two that are timed in one. */
#include "worker.h"

#define GIB    (1ull << 30)
#define ALL    1, WORKERS_MAX
#define SLOWLY 3 /* repetitions of what takes long */

const struct workload workloads[] = {
    {{"bulk-alloc", "bulk-free"}, "ns", 4 * GIB, bulk, 0, 0, ALL, false},
    {{"free-random"}, "ns", 4 * GIB, bulk_free_random, 0, 0, ALL, false},
    {{"free-by-other-cpu"}, "ns", 4 * GIB, bulk_free_other, 0, 0, 2, WORKERS_MAX, false},
    {{"pair"}, "ns", 4 * GIB, pairs, 0, 0, ALL, false},
    {{"batch-512"}, "ns", 4 * GIB, batches, 512, 0, ALL, false},
    {{"batch-call-512"}, "ns", 4 * GIB, batch_calls, 512, 0, ALL, false},
    {{"order-9-alloc", "order-9-free"}, "ns", 4 * GIB, orders, 9, 0, ALL, false},
    {{"order-3-alloc", "order-3-free"}, "ns", 4 * GIB, orders, 3, 0, ALL, false},
    {{"mixed-orders-pair"}, "ns", 4 * GIB, mixed_orders, 9, 0, ALL, false},
    {{"runs-3-17-100-pair"}, "ns", 4 * GIB, mixed_runs, 0, 0, ALL, false},
    {{"holes-99%-1G"}, "ns", 1 * GIB, holes, 100, 0, ALL, false},
    {{"holes-99%-4G"}, "ns", 4 * GIB, holes, 100, 0, ALL, false},
    {{"holes-99%-16G"}, "ns", 16 * GIB, holes, 100, SLOWLY, ALL, false},
    {{"holes-99%-64G"}, "ns", 64 * GIB, holes, 100, SLOWLY, ALL, false},
    {{"full-order-0-1G"}, "ns", 1 * GIB, full, 0, 0, ALL, false},
    {{"full-order-0-16G"}, "ns", 16 * GIB, full, 0, SLOWLY, ALL, false},
    {{"checkerboard-order-1-1G"}, "ns", 1 * GIB, checkerboard, 0, 0, ALL, false},
    {{"checkerboard-order-1-16G"}, "ns", 16 * GIB, checkerboard, 0, SLOWLY, ALL, false},
    {{"below-4G-pair"}, "ns", 8 * GIB, pairs_below, 4 * GIB, 0, ALL, true},
    {{"churn-dense"}, "%", 1 * GIB, churn_dense, 1, SLOWLY, ALL, false},
    {{"churn-dense-burst"}, "%", 1 * GIB, churn_dense, 512, SLOWLY, ALL, false},
    {{"churn-random"}, "%", 1 * GIB, churn_random, 1, SLOWLY, ALL, false},
    {{"churn-random-burst"}, "%", 1 * GIB, churn_random, 512, SLOWLY, ALL, false},
    {{"metadata-per-GiB"}, "KiB", 64 * GIB, metadata, 0, 1, 1, 1, false},
    {{"start-1T-with-faults", "start-1T"}, "us/GiB", 1024 * GIB, startup, 0, SLOWLY, 1, 1, false},
};
const unsigned nworkloads = sizeof workloads / sizeof workloads[0];

const struct workload selftest = {{"self-test"}, "", GIB / 2, mixed_everything, 0, 1, ALL, false};
