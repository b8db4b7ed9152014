/* See protect.h. Firmware without the protocol lets pages of EfiLoaderCode be executed; from what it refuses
 * nothing follows, as it may be that it protects nothing there.
 * source: UEFI "EFI_MEMORY_ATTRIBUTE_PROTOCOL" */
#include "protect.h"

#define ACCESS_BITS (EFI_MEMORY_XP | EFI_MEMORY_RO)

/* Rights are taken away before others are given. */
static void set_access(const struct protection *p, uint64_t begin, uint64_t end, uint64_t wanted)
{
    uint64_t unwanted = ACCESS_BITS & ~wanted;
    if (begin == end)
        return;
    if (wanted)
        (void)p->protocol->set(p->protocol, p->base + begin, end - begin, wanted);
    if (unwanted)
        (void)p->protocol->clear(p->protocol, p->base + begin, end - begin, unwanted);
}

void protect(struct protection *out, EFI_BOOT_SERVICES *services, EFI_PHYSICAL_ADDRESS base,
             uint64_t constants, uint64_t data, uint64_t bytes)
{
    EFI_GUID guid = {0xf4560cf6, 0x40ec, 0x4b4a, {0xa1, 0x92, 0xbf, 0x1d, 0x57, 0xd0, 0xb1, 0x89}};
    *out = (struct protection){.base = base, .bytes = bytes};
    if (EFI_ERROR(services->LocateProtocol(&guid, NULL, (void **)&out->protocol))) {
        out->protocol = NULL;
        return;
    }
    if (EFI_ERROR(out->protocol->get(out->protocol, base, bytes, &out->before)))
        out->before = EFI_MEMORY_XP; /* the same for all is not what they have: what is safe */
    set_access(out, 0, constants, EFI_MEMORY_RO);
    set_access(out, constants, data, ACCESS_BITS);
    set_access(out, data, bytes, EFI_MEMORY_XP);
}

void unprotect(const struct protection *protection)
{
    if (protection->protocol)
        set_access(protection, 0, protection->bytes, protection->before & ACCESS_BITS);
}
