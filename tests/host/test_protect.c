/* efi/protect.c: what the unpacked loader's pages allow, by a firmware that remembers it page by page; by one
 * that refuses, and one that has no such protocol. */
#include "test.h"

#include "protect.h"

#define PAGE   4096ull
#define BASE   0x7f000000ull
#define NPAGES 12
#define CODE   5 /* pages, of which constants and data begin behind */
#define DATA   9
#define ACCESS (EFI_MEMORY_XP | EFI_MEMORY_RO)
#define OTHER  0x8ull /* an attribute that is none of ours */

static uint64_t pages[NPAGES + 2]; /* one in front and one behind must not change */
static EFI_STATUS answer;
static unsigned calls;
static bool has_protocol;

static size_t page_of(EFI_PHYSICAL_ADDRESS base, UINT64 bytes)
{
    assert_true(base % PAGE == 0 && bytes % PAGE == 0 && bytes > 0);
    assert_true(base >= BASE && base + bytes <= BASE + NPAGES * PAGE);
    return 1 + (base - BASE) / PAGE;
}

/* As the specification has it: an error if the pages differ. */
static EFI_STATUS EFIAPI get(struct memory_attributes *this, EFI_PHYSICAL_ADDRESS base,
                             UINT64 bytes, UINT64 *attributes)
{
    (void)this;
    size_t first = page_of(base, bytes);
    for (size_t i = 0; i < bytes / PAGE; i++) {
        if (pages[first + i] != pages[first])
            return EFI_NO_MAPPING;
    }
    if (!EFI_ERROR(answer))
        *attributes = pages[first];
    return answer;
}

static EFI_STATUS change(EFI_PHYSICAL_ADDRESS base, UINT64 bytes, UINT64 set, UINT64 clear)
{
    size_t first = page_of(base, bytes);
    calls++;
    assert_true((set | clear) && !((set | clear) & ~ACCESS));
    for (size_t i = first; i < first + bytes / PAGE && !EFI_ERROR(answer); i++) {
        uint64_t before = pages[i];
        pages[i] = (before | set) & ~clear;
        /* never both, unless it came so */
        assert_true((pages[i] & ACCESS) || !(before & ACCESS) || pages[i] == pages[0]);
    }
    return answer;
}

static EFI_STATUS EFIAPI set(struct memory_attributes *this, EFI_PHYSICAL_ADDRESS base,
                             UINT64 bytes, UINT64 attributes)
{
    (void)this;
    return change(base, bytes, attributes, 0);
}

static EFI_STATUS EFIAPI clear(struct memory_attributes *this, EFI_PHYSICAL_ADDRESS base,
                               UINT64 bytes, UINT64 attributes)
{
    (void)this;
    return change(base, bytes, 0, attributes);
}

static struct memory_attributes protocol = {get, set, clear};

static EFI_STATUS EFIAPI locate_protocol(EFI_GUID *guid, void *registration, void **out)
{
    static const uint8_t wanted[16] = {0xf6, 0x0c, 0x56, 0xf4, 0xec, 0x40, 0x4a, 0x4b,
                                       0xa1, 0x92, 0xbf, 0x1d, 0x57, 0xd0, 0xb1, 0x89};
    assert_null(registration);
    assert_memory_equal(guid, wanted, sizeof wanted);
    *out = has_protocol ? &protocol : (void *)0xbad;
    return has_protocol ? EFI_SUCCESS : EFI_NOT_FOUND;
}

static EFI_BOOT_SERVICES services = {.LocateProtocol = locate_protocol};

static void start(uint64_t attributes, EFI_STATUS status)
{
    for (size_t i = 0; i < COUNT(pages); i++)
        pages[i] = attributes;
    answer = status;
    has_protocol = true;
    calls = 0;
}

static void assert_pages(size_t first, size_t end, uint64_t attributes)
{
    for (size_t i = first; i < end; i++)
        assert_int_equal(pages[1 + i], attributes);
}

static void each_part_is_allowed_what_it_needs(void **state)
{
    static const uint64_t befores[] = {0, EFI_MEMORY_XP, OTHER, OTHER | EFI_MEMORY_XP};
    (void)state;
    for (size_t i = 0; i < COUNT(befores); i++) {
        uint64_t other = befores[i] & OTHER;
        struct protection protection;
        start(befores[i], EFI_SUCCESS);
        protect(&protection, &services, BASE, CODE * PAGE, DATA * PAGE, NPAGES * PAGE);
        assert_pages(0, CODE, other | EFI_MEMORY_RO);
        assert_pages(CODE, DATA, other | EFI_MEMORY_RO | EFI_MEMORY_XP);
        assert_pages(DATA, NPAGES, other | EFI_MEMORY_XP);
        assert_true(pages[0] == befores[i] && pages[NPAGES + 1] == befores[i]);
        unprotect(&protection);
        for (size_t page = 0; page < COUNT(pages); page++)
            assert_int_equal(pages[page], befores[i]);
    }
}

static void pages_that_came_unequal_end_not_executable(void **state)
{
    struct protection protection;
    (void)state;
    start(EFI_MEMORY_XP, EFI_SUCCESS);
    pages[3] = 0;
    protect(&protection, &services, BASE, CODE * PAGE, DATA * PAGE, NPAGES * PAGE);
    assert_pages(0, CODE, EFI_MEMORY_RO);
    unprotect(&protection);
    assert_pages(0, NPAGES, EFI_MEMORY_XP);
}

static void parts_of_no_pages_are_left_out(void **state)
{
    struct protection protection;
    (void)state;
    start(EFI_MEMORY_XP, EFI_SUCCESS);
    protect(&protection, &services, BASE, CODE * PAGE, CODE * PAGE, CODE * PAGE);
    assert_pages(0, CODE, EFI_MEMORY_RO);
    assert_int_equal(calls, 2);
}

static void a_refusal_changes_nothing(void **state)
{
    struct protection protection;
    (void)state;
    start(0, EFI_UNSUPPORTED);
    protect(&protection, &services, BASE, CODE * PAGE, DATA * PAGE, NPAGES * PAGE);
    unprotect(&protection);
    assert_true(calls > 0);
    assert_pages(0, NPAGES, 0);
}

static void without_the_protocol_nothing_is_asked(void **state)
{
    struct protection protection;
    (void)state;
    start(0, EFI_SUCCESS);
    has_protocol = false;
    protect(&protection, &services, BASE, CODE * PAGE, DATA * PAGE, NPAGES * PAGE);
    unprotect(&protection);
    assert_int_equal(calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_part_is_allowed_what_it_needs),
        cmocka_unit_test(pages_that_came_unequal_end_not_executable),
        cmocka_unit_test(parts_of_no_pages_are_left_out),
        cmocka_unit_test(a_refusal_changes_nothing),
        cmocka_unit_test(without_the_protocol_nothing_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
