/* Owns: the shares that are no CPU's but of a node: from them come small objects for who asks for
 * memory of another node. Relies on: shares. Stage: "heap".
 *
 * Such a share is like a CPU's, but that all its objects are freed by others, and that who takes one
 * holds the share's lock. It is made, on the node, when it is first asked for, and stays. */
#include "mm/pmm.h"
#include "mm/string.h"
#include "share.h"

static struct share *nodes[NUMA_NODES_MAX];

void node_shares_init(void)
{
    for (unsigned i = 0; i < NUMA_NODES_MAX; i++)
        nodes[i] = NULL;
}

struct share *node_share(unsigned node)
{
    return __atomic_load_n(&nodes[node], __ATOMIC_ACQUIRE);
}

/* NULL: the node has no memory, or none is left for this. */
static struct share *make_share(uint32_t node)
{
    const struct pmm_limits here = {
        .kind = PMM_LONG, .node_rule = PMM_NODE_PREFERRED, .node = node};
    uint64_t nframes = bytes_to_frames(sizeof(struct share));
    struct pmm_node_stats memory;
    struct share *none = NULL, *made = NULL;
    paddr_t frames;
    irq_state_t irq;
    pmm_get_node_stats(node, &memory);
    if (memory.total_kib == 0)
        return NULL;
    struct share *self = share_enter(&irq);
    if (pmm_alloc_frames(nframes, &here, &frames) == MM_OK) {
        made = phys_to_virt(frames);
        memset(made, 0, sizeof *made);
        share_init(made, CONFIG_CPUS_MAX + node);
        made->limits = here;
        made->descriptor_pages = nframes;
        if (!__atomic_compare_exchange_n(&nodes[node], &none, made, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE)) {
            pmm_free_frames(frames, nframes); /* another CPU was quicker */
            made = none;
        }
    }
    share_leave(self, irq);
    return made;
}

void *node_take(uint32_t node, unsigned class)
{
    if (node >= NUMA_NODES_MAX)
        return NULL;
    struct share *s = node_share(node);
    if (s == NULL)
        s = make_share(node);
    if (s == NULL)
        return NULL;
    irq_state_t irq = spin_lock(&s->lock);
    void *p = share_take(s, class);
    spin_unlock(&s->lock, irq);
    return p;
}

void heap_set_node(unsigned cpu, uint32_t node)
{
    struct share *s = cpu < CONFIG_CPUS_MAX ? share_at(cpu) : NULL;
    if (s == NULL || node >= NUMA_NODES_MAX)
        return;
    irq_state_t irq = spin_lock(&s->lock);
    s->limits =
        (struct pmm_limits){.kind = PMM_LONG, .node_rule = PMM_NODE_PREFERRED, .node = node};
    spin_unlock(&s->lock, irq);
}
