/* Owns: where ranges lie and what they begin as. Relies on: record.c for those of the kernel.
 * Stage: from vmm_init on. */
#include "check.h"
#include "vmm_state.h"
#include "window.h"

#define PROT_WANTED (PROT_READ | PROT_WRITE | PROT_EXEC | PROT_KEY(15))

/* --- What may be asked for ------------------------------------------------------ */

mm_status_t check_prot(const struct vm *vm, prot_t wanted, prot_t *out)
{
    if (wanted == 0 || (wanted & ~PROT_WANTED) != 0)
        return MM_INVAL;
    if ((wanted & PROT_WRITE) != 0 && (wanted & PROT_EXEC) != 0)
        return MM_DENIED;
    *out = wanted | PROT_READ | (vm->space.user ? PROT_USER : PROT_GLOBAL);
    return MM_OK;
}

mm_status_t check_pages(const struct vm *vm, vaddr_t va, uint64_t npages)
{
    if (!va_aligned(va, PAGE_BYTES) || npages == 0)
        return MM_INVAL;
    if (vm->space.user ? in_kernel_half(va) : !in_windows(va))
        return MM_DENIED;
    vaddr_t end = vm->space.user ? vm->end : VA(VMM_DEVICE_END);
    bool fits = va_le(VA(VMM_USER_BASE), va) && va_lt(va, end) && npages <= va_pages(va, end);
    return fits ? MM_OK : MM_RANGE;
}

/* What a wish for frames of the range's own may say, beside check_want. */
static mm_status_t check_backing(const struct vm *vm, const struct vmm_want *want)
{
    bool now = want->backing == VMM_NOW || want->backing == VMM_LAZY;
    if ((unsigned)want->backing > VMM_STACK || ((want->flags & VMM_LOCKED) != 0 && !now))
        return MM_INVAL;
    if (vm->space.user && want->backing == VMM_STACK && want->npages < 2)
        return MM_INVAL; /* no room for its guard */
    return want->cache == CACHE_WB ? MM_OK : MM_DENIED;
}

static mm_status_t check_want(const struct vm *vm, const struct vmm_want *want, unsigned flags)
{
    bool user = vm->space.user, fixed = !va_eq(want->at, VA(0));
    if (want->npages == 0 || (want->align & (want->align - 1)) != 0 ||
        want->align > WINDOW_ALIGN_MAX || (want->flags & ~flags) != 0 ||
        (unsigned)want->cache > CACHE_WC)
        return MM_INVAL;
    if (!user && (want->name == NULL || fixed))
        return MM_INVAL;
    if (want->npages > (user ? va_pages(VA(VMM_USER_BASE), vm->end) : RECORD_PAGES_MAX))
        return MM_RANGE;
    return fixed ? check_pages(vm, want->at, want->npages) : MM_OK;
}

/* --- Where -------------------------------------------------------------------------- */

/* So that the largest entries fit: the largest power of 512 pages that the range has. */
struct fit fit_of(const struct content *content, uint64_t npages, uint64_t align, uint64_t most)
{
    if (align != 0)
        return (struct fit){align, 0};
    align = 1;
    while (align * PAGES_2M <= npages && align < most && (content->state.value & VALUE_SMALL) == 0)
        align *= PAGES_2M;
    bool given = content->state.kind == ENTRY_PAGE;
    paddr_t base = pa_align_down(content->pa, align * PAGE_BYTES);
    return (struct fit){align, given ? pa_diff(base, content->pa) / PAGE_BYTES : 0};
}

mm_status_t put(struct vm *vm, vaddr_t va, uint64_t npages, const struct content *c)
{
    if (c->state.kind == ENTRY_PAGE)
        return paging_map(&vm->space, va, c->pa, npages, c->state.prot, c->state.cache);
    return paging_set(&vm->space, va, npages, KIND(ENTRY_EMPTY), &c->state);
}

static mm_status_t place_in_window(const struct vmm_want *want, const struct fit *fit,
                                   const struct content *content, vaddr_t *out)
{
    uint64_t lead = (fit->align + 1 - fit->offset) % fit->align;
    vaddr_t guard;
    mm_status_t status = window_alloc(want->npages + 1, fit->align, lead, &guard);
    if (status != MM_OK)
        return status;
    status = record_put(want->name, guard, want->npages, content);
    if (status != MM_OK)
        ASSERT(window_free(guard, want->npages + 1) == MM_OK);
    else
        *out = va_page(guard, 1);
    return status;
}

/* Go on behind the last range, then begin at the bottom. If others are quicker, once more. */
static mm_status_t place_anywhere(struct vm *vm, uint64_t npages, const struct fit *fit,
                                  const struct content *content, vaddr_t *out)
{
    uint64_t room = fit->offset + npages;
    vaddr_t base, va;
    mm_status_t status;
    do {
        vaddr_t from = VA(__atomic_load_n(&vm->hint, __ATOMIC_RELAXED));
        status = paging_find_empty(&vm->space, from, vm->end, room, fit->align, &base);
        if (status != MM_OK) /* the hint may be the very end */
            status =
                paging_find_empty(&vm->space, VA(VMM_USER_BASE), vm->end, room, fit->align, &base);
        if (status != MM_OK)
            return status == MM_NOTFOUND ? MM_NOMEM : status;
        va = va_page(base, fit->offset);
        status = put(vm, va, npages, content);
    } while (status == MM_EXISTS);
    if (status != MM_OK)
        return status;
    __atomic_store_n(&vm->hint, va_number(va_page(va, npages)), __ATOMIC_RELAXED);
    *out = va;
    return MM_OK;
}

/* Where the best place is not free, one that is good for smaller entries may be. */
mm_status_t place(struct vm *vm, const struct vmm_want *want, const struct content *content,
                  vaddr_t *out)
{
    mm_status_t status;
    if (!va_eq(want->at, VA(0))) {
        status = put(vm, want->at, want->npages, content);
        if (status == MM_OK)
            *out = want->at;
        return status;
    }
    struct fit fit = {.align = WINDOW_ALIGN_MAX * PAGES_2M};
    do {
        fit = fit_of(content, want->npages, want->align, fit.align / PAGES_2M);
        status = vm->space.user ? place_anywhere(vm, want->npages, &fit, content, out)
                                : place_in_window(want, &fit, content, out);
    } while (status == MM_NOMEM && want->align == 0 && fit.align > 1);
    return status;
}

/* --- Allocating ------------------------------------------------------------------------ */

static struct page_state state_of(const struct vmm_want *want, prot_t prot)
{
    static const uint8_t kinds[] = {
        [VMM_NOW] = STATE_LAZY,
        [VMM_LAZY] = STATE_LAZY,
        [VMM_RESERVED] = STATE_RESERVED,
        [VMM_STACK] = STATE_STACK,
    };
    return (struct page_state){
        .kind = kinds[want->backing],
        .value = (want->flags & VMM_SMALL_PAGES) != 0 ? VALUE_SMALL : 0,
        .prot = prot | ((want->flags & VMM_LOCKED) != 0 ? PROT_LOCKED : 0),
        .cache = want->cache,
    };
}

/* What is there of a new range from the start. */
static mm_status_t back(struct vm *vm, const struct vmm_want *want, const struct content *content,
                        vaddr_t va)
{
    if (want->backing == VMM_NOW || (want->flags & VMM_LOCKED) != 0)
        return populate_new(vm, va, want->npages);
    if (want->backing != VMM_STACK)
        return MM_OK;
    const struct page_state guard = {STATE_GUARD, 0, content->state.prot, CACHE_WB};
    mm_status_t status = MM_OK;
    if (vm->space.user)
        status = paging_set(&vm->space, va, 1, KIND(STATE_STACK), &guard);
    if (status == MM_OK)
        status = populate(vm, va_page(va, want->npages - 1), 1, KIND(STATE_STACK));
    return status;
}

mm_status_t vmm_alloc(struct vm *vm, const struct vmm_want *want, vaddr_t *out)
{
    prot_t prot;
    mm_status_t status = check_want(vm, want, VMM_SMALL_PAGES | VMM_LOCKED);
    if (status == MM_OK)
        status = check_backing(vm, want);
    if (status == MM_OK)
        status = check_prot(vm, want->prot, &prot);
    if (status != MM_OK)
        return status;
    const struct content content = {.state = state_of(want, prot)};
    vaddr_t va;
    status = place(vm, want, &content, &va);
    if (status != MM_OK)
        return status;
    status = back(vm, want, &content, va);
    if (status == MM_OK)
        *out = va;
    else
        (void)!vmm_free(vm, va, want->npages); /* whole: it takes no memory */
    return status;
}

static mm_status_t map(struct vm *vm, const struct vmm_want *want, paddr_t pa, prot_t notes,
                       vaddr_t *out)
{
    prot_t prot;
    mm_status_t status = check_want(vm, want, VMM_LOCKED);
    if (status == MM_OK)
        status = check_prot(vm, want->prot, &prot);
    if (status == MM_OK && !pa_aligned(pa, FRAME_BYTES))
        status = MM_INVAL;
    if (status != MM_OK)
        return status;
    prot |= notes | ((want->flags & VMM_LOCKED) != 0 ? PROT_LOCKED : 0);
    const struct content content = {.state = {ENTRY_PAGE, 0, prot, want->cache}, .pa = pa};
    return place_given(vm, want, &content, out);
}

mm_status_t vmm_map(struct vm *vm, const struct vmm_want *want, paddr_t pa, vaddr_t *out)
{
    return map(vm, want, pa, 0, out);
}

mm_status_t vmm_alloc_dma(const struct vmm_want *want, const struct pmm_limits *limits,
                          vaddr_t *out, paddr_t *pa)
{
    struct pmm_limits zeroed = limits != NULL ? *limits : (struct pmm_limits){0};
    zeroed.zeroed = true;
    paddr_t frames;
    mm_status_t status = check_want(vmm_kernel(), want, VMM_LOCKED);
    if (status == MM_OK)
        status = pmm_alloc_frames(want->npages, &zeroed, &frames);
    if (status != MM_OK)
        return status;
    status = map(vmm_kernel(), want, frames, PROT_OWNED, out);
    if (status == MM_OK)
        *pa = frames;
    else
        pmm_free_frames(frames, want->npages);
    return status;
}

mm_status_t vmm_alloc_stack(const char *name, uint64_t npages, vaddr_t *out)
{
    const struct vmm_want want = {.name = name, .npages = npages, .prot = PROT_READ | PROT_WRITE};
    return vmm_alloc(vmm_kernel(), &want, out);
}

/* --- Freeing, protecting ------------------------------------------------------------------- */

mm_status_t vmm_free(struct vm *vm, vaddr_t va, uint64_t npages)
{
    static const struct page_state nothing = {.kind = ENTRY_EMPTY};
    mm_status_t status = check_pages(vm, va, npages);
    if (status != MM_OK)
        return status;
    if (!vm->space.user)
        return record_free(va, npages);
    status = paging_set(&vm->space, va, npages, KINDS_RANGE, &nothing);
    if (status == MM_OK && va_number(va) < __atomic_load_n(&vm->hint, __ATOMIC_RELAXED))
        __atomic_store_n(&vm->hint, va_number(va), __ATOMIC_RELAXED);
    return as_not_found(status);
}

void vmm_free_range(vaddr_t va)
{
    struct record r;
    vaddr_t page = va_align_down(va, PAGE_BYTES);
    if (!record_find(page, &r) || !va_eq(page, r.range.va)) {
        port_misuse("vmm_free_range: 0x%lx is not the first page of a range", va_number(va));
        return;
    }
    if (record_free_all(&r, true) != MM_OK)
        port_misuse("vmm_free_range: 0x%lx is being freed by somebody else", va_number(va));
}

mm_status_t vmm_protect(struct vm *vm, vaddr_t va, uint64_t npages, prot_t prot)
{
    prot_t whole;
    mm_status_t status = check_pages(vm, va, npages);
    if (status == MM_OK)
        status = check_prot(vm, prot, &whole);
    if (status != MM_OK)
        return status;
    unsigned over = vm->space.user ? KINDS_RANGE : KINDS_OWN;
    return as_not_found(paging_set_prot(&vm->space, va, npages, over, whole));
}
