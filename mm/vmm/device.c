/* Owns: the window of devices; that no memory is seen with two memory types.
 * Relies on: record.c. Stage: from vmm_init on.
 * source: Intel SDM Vol. 3A "Programming the PAT": one page with two types is undefined */
#include "lock.h"
#include "vmm_state.h"

/* Two CPUs that map the same registers must see each other, if one does so in this window. */
static struct spinlock devices_lock = SPINLOCK_INIT(LOCK_RANGES, "devices");

/* Memory that some CPU could have cached in another way. */
struct piece {
    paddr_t base, end;
    cache_t cache;
};

/* MM_DENIED if what lies from va to end shows some of the piece with another type. */
static mm_status_t check_types(vaddr_t va, vaddr_t end, const struct piece *piece)
{
    struct mapping m;
    for (; run_next(vmm_kernel(), KIND(ENTRY_PAGE), va, end, &m) == MM_OK; va = mapping_end(&m))
        if (m.cache != piece->cache && pa_lt(m.pa, piece->end) &&
            pa_lt(piece->base, pa_add(m.pa, m.bytes)))
            return MM_DENIED;
    return MM_OK;
}

static mm_status_t check_devices(const struct piece *piece) REQUIRES(devices_lock)
{
    return check_types(VA(VMM_DEVICE_BASE), VA(VMM_DEVICE_END), piece);
}

/* The direct map shows memory there in the same way, or not at all. */
static mm_status_t check_ram(paddr_t pa, uint64_t npages, cache_t cache)
{
    paddr_t end = PA(hhdm.bytes);
    if (!pa_lt(pa, end))
        return MM_OK;
    if (npages < pa_diff(pa, end) / PAGE_BYTES)
        end = pa_add(pa, npages * PAGE_BYTES);
    const struct piece piece = {pa, end, cache};
    return check_types(hhdm_address(pa), hhdm_address(end), &piece);
}

/* True if the direct map has all of it, in one piece: then no device has it. */
static bool is_ram(paddr_t pa, uint64_t bytes)
{
    struct mapping m;
    vaddr_t va = hhdm_address(pa);
    return range_fits(pa_diff(PA(0), pa), bytes, hhdm.bytes) &&
           run_next(vmm_kernel(), KIND(ENTRY_PAGE), va, va_add(va, bytes), &m) == MM_OK &&
           va_eq(m.va, va) && m.bytes == bytes;
}

mm_status_t place_given(struct vm *vm, const struct vmm_want *want, const struct content *content,
                        vaddr_t *out)
{
    uint64_t bytes = want->npages * PAGE_BYTES;
    const struct piece piece = {content->pa, pa_add(content->pa, bytes), want->cache};
    mm_status_t status = check_ram(content->pa, want->npages, want->cache);
    if (status != MM_OK)
        return status;
    if (is_ram(content->pa, bytes))
        return place(vm, want, content, out);
    irq_state_t irq = spin_lock(&devices_lock);
    status = check_devices(&piece);
    if (status == MM_OK)
        status = place(vm, want, content, out);
    spin_unlock(&devices_lock, irq);
    return status;
}

static mm_status_t map_locked(const char *name, uint64_t npages, const struct content *content,
                              vaddr_t *out) REQUIRES(devices_lock)
{
    struct vm *kernel = vmm_kernel();
    const struct piece piece = {content->pa, pa_add(content->pa, npages * PAGE_BYTES),
                                content->state.cache};
    mm_status_t status = check_devices(&piece);
    if (status != MM_OK)
        return status;
    struct fit fit = fit_of(content, npages, 0, HUGE_1G / PAGE_BYTES);
    uint64_t lead = fit.offset > 0 ? fit.offset : fit.align; /* room for the guard */
    vaddr_t base;
    status = paging_find_empty(&kernel->space, VA(VMM_DEVICE_BASE), kernel->end, lead + npages,
                               fit.align, &base);
    if (status != MM_OK)
        return status == MM_NOTFOUND ? MM_NOMEM : status;
    status = record_put(name, va_page(base, lead - 1), npages, content);
    if (status == MM_OK)
        *out = va_page(base, lead);
    return status;
}

mm_status_t vmm_map_device(const char *name, paddr_t pa, uint64_t bytes, cache_t cache,
                           vaddr_t *out)
{
    if (name == NULL || bytes == 0 || (unsigned)cache > CACHE_WC)
        return MM_INVAL;
    paddr_t limit = PA(1ull << port_cpu()->phys_bits), base = pa_align_down(pa, PAGE_BYTES);
    if (!pa_lt(pa, limit) || bytes > pa_diff(pa, limit))
        return MM_RANGE;
    uint64_t npages = bytes_to_frames(pa_diff(base, pa_add(pa, bytes)));
    if (npages > RECORD_PAGES_MAX)
        return MM_RANGE;
    const struct content content = {
        .state = {ENTRY_PAGE, 0, PROT_READ | PROT_WRITE | PROT_GLOBAL, cache}, .pa = base};
    mm_status_t status = check_ram(base, npages, cache);
    if (status != MM_OK)
        return status;
    vaddr_t va;
    irq_state_t irq = spin_lock(&devices_lock);
    status = map_locked(name, npages, &content, &va);
    spin_unlock(&devices_lock, irq);
    if (status == MM_OK)
        *out = va_add(va, pa_diff(base, pa));
    return status;
}
