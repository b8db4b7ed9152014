/* kernel/boot/context.c: random damage to any of the answers. */
#include "context_rig.h"

static void assert_sound(void)
{
    const struct boot_context *c = boot_context();
    const struct boot_framebuffer *f = &c->framebuffer;
    assert_true(c->nmemory <= CONFIG_MEMORY_ENTRIES);
    for (size_t i = 0; i < c->nmemory; i++) {
        assert_true(c->memory[i].type < MEM_TYPES);
        assert_true(i == 0 || c->memory[i - 1].base.v <= c->memory[i].base.v);
    }
    assert_true(c->ncpus < CONFIG_CPUS_MAX);
    assert_non_null(memchr(c->cmdline, 0, sizeof c->cmdline));
    assert_non_null(memchr(c->loader_name, 0, sizeof c->loader_name));
    assert_non_null(memchr(c->loader_version, 0, sizeof c->loader_version));
    if (c->have_framebuffer)
        assert_true(f->pitch >= f->width * 4 && f->width > 0 && f->height > 0 &&
                    f->pitch * f->height <= HUGE_1G && f->base.v + HUGE_1G < PADDR_LIMIT &&
                    f->red_size + f->red_shift <= 32 && f->green_size + f->green_shift <= 32 &&
                    f->blue_size + f->blue_shift <= 32);
    assert_true(!c->have_rsdp || (c->rsdp.v > 0 && c->rsdp.v < PADDR_LIMIT));
    if (c->efi_memmap.descriptors)
        assert_true(c->efi_memmap.descriptor_bytes >= 40 &&
                    c->efi_memmap.bytes % c->efi_memmap.descriptor_bytes == 0 &&
                    c->efi_memmap.bytes <= CONFIG_EFI_MEMMAP_BYTES);
    assert_true(c->nentropy <= COUNT(c->entropy));
    assert_true(c->tsc_hz == 0 || c->tsc_hz >= 1000000);
}

/* A number as hostile as they come: near a border, or a good one a little off. */
static uint64_t odd_number(struct rng *rng, uint64_t old)
{
    static const uint64_t odd[] = {
        0,           1,        HHDM,       HHDM + LOADER_PA, VMM_WINDOW_BASE,
        PADDR_LIMIT, 1u << 31, 1ull << 32, 1ull << 63,       UINT64_MAX};
    switch (rng_below(rng, 4)) {
    case 0:
        return odd[rng_below(rng, COUNT(odd))] + rng_below(rng, 33) - 16;
    case 1:
        return old + rng_below(rng, 4097) - 2048;
    case 2:
        return old ^ 1ull << rng_below(rng, 64);
    default:
        return HHDM + LOADER_PA + rng_below(rng, LOADER_BYTES);
    }
}

static void any_damage_is_survived(void **state)
{
    struct rng rng = rng_start();
    unsigned booted = 0;
    for (unsigned run = 0; run < 4000; run++) {
        start(state);
        loader.survives_faults = true;
        size_t words = loader.used / 8;
        for (uint64_t n = rng_between(&rng, 1, 12); n > 0; n--) {
            /* Half of it outside of the memory map's long lists, where the other answers are. */
            size_t lists = ENTRIES_ROOM * (sizeof *loader.map + 8) / 8;
            size_t at =
                rng_below(&rng, 2) ? rng_below(&rng, 64) : lists + rng_below(&rng, words - lists);
            uint64_t *word = (uint64_t *)(void *)loader.memory + at;
            *word = odd_number(&rng, *word);
        }
        if (rng_below(&rng, 4) == 0) {
            volatile uint64_t *response = slot((enum request)rng_below(&rng, REQUESTS));
            *response = odd_number(&rng, *response);
        }
        if (boots()) {
            assert_sound();
            booted++;
        } else {
            assert_true(last_words[0] != '\0');
        }
    }
    assert_true(booted > 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(any_damage_is_survived),
    };
    return cmocka_run_group_tests_name("context noise", tests, NULL, release);
}
