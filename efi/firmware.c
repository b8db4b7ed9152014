/* The firmware's handles and tables, and the one list of what we have allocated from it.
 * Stage: boot services alive. */
#include "firmware.h"

#include "bytes.h"

EFI_HANDLE image_handle;
EFI_SYSTEM_TABLE *ST;
EFI_BOOT_SERVICES *BS;
EFI_RUNTIME_SERVICES *RT;
const struct carried *carried;

/* Some twenty allocations are made for a boot; the arena's growth is the only one that repeats. */
#define ALLOCATIONS_MAX 64

static struct allocation {
    EFI_PHYSICAL_ADDRESS base;
    UINTN npages;
} allocations[ALLOCATIONS_MAX];
static UINTN nallocations;

void firmware_init(EFI_HANDLE image, EFI_SYSTEM_TABLE *table, const struct carried *with_us)
{
    carried = with_us;
    image_handle = image;
    ST = table;
    BS = table->BootServices;
    RT = table->RuntimeServices;
}

/* Give back what alignment made us take too much of. Failing to is a loss for the firmware only
 * until boot services end, so it is no error. */
static void free_quietly(EFI_PHYSICAL_ADDRESS base, UINTN npages)
{
    if (npages)
        (void)BS->FreePages(base, npages);
}

/* Pages as the firmware gives them, remembered when they are trimmed. */
static EFI_STATUS allocate(EFI_ALLOCATE_TYPE type, EFI_PHYSICAL_ADDRESS below, UINTN npages,
                           UINTN align, void **out)
{
    if (nallocations == ALLOCATIONS_MAX || npages == 0 || !is_power_of_two(align))
        return EFI_OUT_OF_RESOURCES;
    UINTN slack = align > PAGE_BYTES ? align / PAGE_BYTES - 1 : 0, total;
    if (!add_ok(npages, slack, &total) || total > UINT64_MAX / PAGE_BYTES)
        return EFI_OUT_OF_RESOURCES;

    EFI_PHYSICAL_ADDRESS found = below - 1; /* with AllocateMaxAddress: the last byte allowed */
    EFI_STATUS status = BS->AllocatePages(type, EfiLoaderData, total, &found);
    if (EFI_ERROR(status))
        return status;
    EFI_PHYSICAL_ADDRESS base = slack ? round_up(found, align) : found;
    UINTN head = (base - found) / PAGE_BYTES;
    free_quietly(found, head);
    free_quietly(base + npages * PAGE_BYTES, slack - head);

    allocations[nallocations++] = (struct allocation){base, npages};
    *out = (void *)base; /* firmware memory is identity-mapped */
    return EFI_SUCCESS;
}

EFI_STATUS firmware_alloc_raw(UINTN npages, UINTN align, void **out)
{
    return allocate(AllocateAnyPages, 0, npages, align, out);
}

EFI_STATUS firmware_alloc_below(UINTN npages, UINT64 below, void **out)
{
    return allocate(below ? AllocateMaxAddress : AllocateAnyPages, below, npages, PAGE_BYTES, out);
}

EFI_STATUS firmware_alloc_pages(UINTN npages, UINTN align, void **out)
{
    EFI_STATUS status = firmware_alloc_raw(npages, align, out);
    if (!EFI_ERROR(status))
        memset(*out, 0, npages * PAGE_BYTES);
    return status;
}

UINTN firmware_mark(void)
{
    return nallocations;
}

void firmware_free_since(UINTN mark)
{
    while (nallocations > mark) {
        struct allocation *last = &allocations[--nallocations];
        free_quietly(last->base, last->npages);
    }
}

void firmware_free_all(void)
{
    firmware_free_since(0);
}

EFI_STATUS firmware_protocol(EFI_HANDLE handle, EFI_GUID *guid, void **out)
{
    return handle ? BS->HandleProtocol(handle, guid, out) : BS->LocateProtocol(guid, NULL, out);
}

void *firmware_table(const EFI_GUID *guid)
{
    for (UINTN i = 0; i < ST->NumberOfTableEntries; i++) {
        if (!memcmp(&ST->ConfigurationTable[i].VendorGuid, guid, sizeof *guid))
            return ST->ConfigurationTable[i].VendorTable;
    }
    return NULL;
}
