/* Walking the ACPI tables. See acpi.h. */
#include "acpi.h"

#include "bytes.h"
#include "firmware.h"

enum {
    HEADER_BYTES = 36,
    HEADER_LENGTH = 4, /* offset of the length */
    RSDP_REVISION = 15,
    RSDP_RSDT = 16,
    RSDP_LENGTH = 20,
    RSDP_XSDT = 24,
    RSDP_BYTES_1 = 20, /* of revision 0 */
    RSDP_BYTES_2 = 36,
    FADT_FIRMWARE_CTRL = 36,
    FADT_DSDT = 40,
    FADT_PM_TMR_BLK = 76,
    FADT_PM_TMR_LEN = 91,
    FADT_FLAGS = 112,
    FADT_X_FIRMWARE_CTRL = 132,
    FADT_X_DSDT = 140,
    FADT_X_PM_TMR_BLK = 208, /* a generic address: space, width, offset, access, 64-bit address */
    FADT_TMR_VAL_EXT = 1 << 8,
    TABLE_BYTES_MAX = 64 << 20,
};

static EFI_GUID acpi_20_guid = ACPI_20_TABLE_GUID;
static EFI_GUID acpi_10_guid = ACPI_TABLE_GUID;

static const uint8_t *rsdp;

bool acpi_init(void)
{
    static const char magic[8] = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
    rsdp = firmware_table(&acpi_20_guid);
    if (!rsdp)
        rsdp = firmware_table(&acpi_10_guid);
    if (rsdp && memcmp(rsdp, magic, sizeof magic))
        rsdp = NULL;
    return rsdp != NULL;
}

const void *acpi_rsdp(void)
{
    return rsdp;
}

uint32_t acpi_length(const uint8_t *table)
{
    return load32(table + HEADER_LENGTH);
}

static bool is_sane(const uint8_t *table, size_t bytes)
{
    uint32_t length = acpi_length(table);
    return length >= HEADER_BYTES && length >= bytes && length <= TABLE_BYTES_MAX;
}

/* The table at a physical address, NULL if there is none or its length makes no sense. */
static const uint8_t *table_at(uint64_t address)
{
    const uint8_t *table = (const uint8_t *)(uintptr_t)address; /* identity-mapped */
    return table && is_sane(table, HEADER_BYTES) ? table : NULL;
}

/* The root table: XSDT (8-byte entries) where the root pointer has one, else RSDT (4-byte). */
static const uint8_t *root(size_t *entry_bytes)
{
    const uint8_t *xsdt = NULL;
    if (!rsdp)
        return NULL;
    /* U-Boot hands out a revision 0 pointer, which ends before the XSDT's address. */
    if (rsdp[RSDP_REVISION] >= 2)
        xsdt = table_at(load64(rsdp + RSDP_XSDT));
    *entry_bytes = xsdt ? 8 : 4;
    return xsdt ? xsdt : table_at(load32(rsdp + RSDP_RSDT));
}

/* The i-th table of the root table; NULL for a hole; behind the last, *more is false. */
static const uint8_t *entry(const uint8_t *table, size_t entry_bytes, size_t i, bool *more)
{
    size_t offset = HEADER_BYTES + i * entry_bytes;
    *more = offset + entry_bytes <= acpi_length(table);
    if (!*more)
        return NULL;
    return table_at(entry_bytes == 8 ? load64(table + offset) : load32(table + offset));
}

const uint8_t *acpi_table(const char signature[4], size_t bytes)
{
    size_t entry_bytes;
    const uint8_t *list = root(&entry_bytes);
    bool more = list != NULL;
    for (size_t i = 0; more; i++) {
        const uint8_t *table = entry(list, entry_bytes, i, &more);
        if (table && !memcmp(table, signature, 4) && is_sane(table, bytes))
            return table;
    }
    return NULL;
}

struct visitor {
    bool (*visit)(void *context, uint64_t base, uint64_t bytes);
    void *context;
};

static bool visit_table(const struct visitor *v, const uint8_t *table)
{
    return !table || v->visit(v->context, (uintptr_t)table, acpi_length(table));
}

/* DSDT and FACS are only found through the FADT; old and new fields may name different copies. */
static bool visit_fadt(const struct visitor *v, const uint8_t *fadt)
{
    uint32_t length = acpi_length(fadt);
    const uint8_t *found[4] = {
        table_at(length >= FADT_DSDT + 4 ? load32(fadt + FADT_DSDT) : 0),
        table_at(length >= FADT_X_DSDT + 8 ? load64(fadt + FADT_X_DSDT) : 0),
        table_at(length >= FADT_FIRMWARE_CTRL + 4 ? load32(fadt + FADT_FIRMWARE_CTRL) : 0),
        table_at(length >= FADT_X_FIRMWARE_CTRL + 8 ? load64(fadt + FADT_X_FIRMWARE_CTRL) : 0),
    };
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
        if (!visit_table(v, found[i]))
            return false;
    }
    return true;
}

bool acpi_each(bool (*visit)(void *context, uint64_t base, uint64_t bytes), void *context)
{
    const struct visitor v = {visit, context};
    if (!rsdp)
        return true;
    bool is_new = rsdp[RSDP_REVISION] >= 2;
    uint32_t length = is_new ? load32(rsdp + RSDP_LENGTH) : RSDP_BYTES_1;
    if (is_new && (length < RSDP_BYTES_2 || length > PAGE_BYTES))
        length = RSDP_BYTES_2;
    if (!visit(context, (uintptr_t)rsdp, length) ||
        !visit_table(&v, table_at(load32(rsdp + RSDP_RSDT))) ||
        (is_new && !visit_table(&v, table_at(load64(rsdp + RSDP_XSDT)))))
        return false;

    size_t entry_bytes;
    const uint8_t *list = root(&entry_bytes);
    bool more = list != NULL;
    for (size_t i = 0; more; i++) {
        const uint8_t *table = entry(list, entry_bytes, i, &more);
        if (!visit_table(&v, table) ||
            (table && !memcmp(table, "FACP", 4) && !visit_fadt(&v, table)))
            return false;
    }
    return true;
}

uint16_t acpi_pm_timer(uint32_t *mask)
{
    const uint8_t *fadt = acpi_table("FACP", FADT_FLAGS + 4);
    if (!fadt)
        return 0;
    *mask = load32(fadt + FADT_FLAGS) & FADT_TMR_VAL_EXT ? 0xffffffff : 0xffffff;
    uint32_t length = acpi_length(fadt);
    if (length >= FADT_X_PM_TMR_BLK + 12) {
        uint8_t space = fadt[FADT_X_PM_TMR_BLK];
        uint64_t address = load64(fadt + FADT_X_PM_TMR_BLK + 4);
        if (space == 1 && address && address <= 0xfffc) /* system I/O */
            return (uint16_t)address;
    }
    uint32_t port = load32(fadt + FADT_PM_TMR_BLK);
    return fadt[FADT_PM_TMR_LEN] == 4 && port <= 0xfffc ? (uint16_t)port : 0;
}
