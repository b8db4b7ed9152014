/* Scanning a loaded image for the Limine protocol's magic words. Pure. */
#include "requests.h"

#include "boot/limine.h"
#include "bytes.h"

/* What we know of each feature: its name, its id, and the bytes of the request we may read. */
static const struct known {
    const char *name;
    uint64_t id[2];
    uint64_t bytes;
} features[FEATURE_COUNT] = {
    [FEATURE_UNKNOWN] = {"unknown feature", {0, 0}, sizeof(struct limine_request)},
    [FEATURE_BOOTLOADER_INFO] = {"bootloader info", {LIMINE_BOOTLOADER_INFO}, 48},
    [FEATURE_EXECUTABLE_CMDLINE] = {"executable cmdline", {LIMINE_EXECUTABLE_CMDLINE}, 48},
    [FEATURE_FIRMWARE_TYPE] = {"firmware type", {LIMINE_FIRMWARE_TYPE}, 48},
    [FEATURE_STACK_SIZE] = {"stack size", {LIMINE_STACK_SIZE}, 56},
    [FEATURE_HHDM] = {"HHDM", {LIMINE_HHDM}, 48},
    [FEATURE_FRAMEBUFFER] = {"framebuffer", {LIMINE_FRAMEBUFFER}, 48},
    [FEATURE_PAGING_MODE] = {"paging mode", {LIMINE_PAGING_MODE}, 56},
    [FEATURE_MP] = {"MP", {LIMINE_MP}, 56},
    [FEATURE_MEMMAP] = {"memory map", {LIMINE_MEMMAP}, 48},
    [FEATURE_ENTRY_POINT] = {"entry point", {LIMINE_ENTRY_POINT}, 56},
    [FEATURE_EXECUTABLE_FILE] = {"executable file", {LIMINE_EXECUTABLE_FILE}, 48},
    [FEATURE_MODULE] = {"module", {LIMINE_MODULE}, 48},
    [FEATURE_RSDP] = {"RSDP", {LIMINE_RSDP}, 48},
    [FEATURE_SMBIOS] = {"SMBIOS", {LIMINE_SMBIOS}, 48},
    [FEATURE_EFI_SYSTEM_TABLE] = {"EFI system table", {LIMINE_EFI_SYSTEM_TABLE}, 48},
    [FEATURE_EFI_MEMMAP] = {"EFI memory map", {LIMINE_EFI_MEMMAP}, 48},
    [FEATURE_DATE_AT_BOOT] = {"date at boot", {LIMINE_DATE_AT_BOOT}, 48},
    [FEATURE_EXECUTABLE_ADDRESS] = {"executable address", {LIMINE_EXECUTABLE_ADDRESS}, 48},
    [FEATURE_BOOTLOADER_PERFORMANCE] = {"performance", {LIMINE_BOOTLOADER_PERFORMANCE}, 48},
    [FEATURE_TSC_FREQUENCY] = {"TSC frequency", {LIMINE_TSC_FREQUENCY}, 48},
    [FEATURE_ENTROPY] = {"entropy", {LIMINE_ENTROPY}, 56},
    [FEATURE_KEEP_IOMMU] = {"keep IOMMU", {LIMINE_KEEP_IOMMU}, 48},
};

static const uint64_t start_marker[] = {LIMINE_START_MARKER};
static const uint64_t end_marker[] = {LIMINE_END_MARKER};
static const uint64_t revision_tag[] = {LIMINE_BASE_REVISION};
static const uint64_t common_magic[] = {LIMINE_COMMON_MAGIC};

struct scan {
    const struct elf_image *image;
    const uint8_t *memory;
    uint64_t bytes;                 /* of the image */
    uint64_t begin, end;            /* offsets between which words are looked at */
    uint64_t last_start, first_end; /* the markers found, as offsets that bound what counts */
    bool have_tag;
    struct request_list *list;
    struct fault *fault;
};

/* Of a request of that revision: a paging mode request has had two words more since revision 1. */
static uint64_t bytes_of(enum feature feature, uint64_t revision)
{
    uint64_t more = feature == FEATURE_PAGING_MODE && revision >= 1 ? 16 : 0;
    return features[feature].bytes + more;
}

/* Called for each word that begins one of the magics; false ends the scan with a fault. */
typedef bool (*scan_visit)(struct scan *scan, uint64_t offset, uint64_t word);

static uint64_t word_at(const struct scan *scan, uint64_t offset)
{
    return load64(scan->memory + offset);
}

static bool matches(const struct scan *scan, uint64_t offset, const uint64_t *magic, size_t words)
{
    return words * 8 <= scan->bytes - offset && !memcmp(scan->memory + offset, magic, words * 8);
}

/* The next word that may begin a magic, whose first words all have their top bit set; to or more if
 * there is none. Nearly all words of a kernel are looked at here only. */
static uint64_t next_candidate(const struct scan *scan, uint64_t from, uint64_t to)
{
    const uint8_t *memory = scan->memory;
    while (from < to && (int64_t)load64(memory + from) >= 0)
        from += 8;
    return from;
}

/* Visit the words of every segment that came from the file and lie in [begin, end). Magics may run
 * on from one segment into the next, so only their first word is bound to the segment. */
static bool scan_words(struct scan *scan, scan_visit visit)
{
    for (size_t i = 0; i < scan->image->nsegments; i++) {
        const struct elf_segment *s = &scan->image->segments[i];
        uint64_t from = s->va - scan->image->base, to = from + s->file_bytes;
        from = round_up(from > scan->begin ? from : scan->begin, 8);
        to = round_down(to < scan->end ? to : scan->end, 8);
        for (uint64_t at = next_candidate(scan, from, to); at < to;
             at = next_candidate(scan, at + 8, to)) {
            uint64_t word = word_at(scan, at);
            if ((word == common_magic[0] || word == revision_tag[0] || word == start_marker[0] ||
                 word == end_marker[0]) &&
                !visit(scan, at, word))
                return false;
        }
    }
    return true;
}

/* The last start marker and the first end marker bound what counts. */
static bool visit_marker(struct scan *scan, uint64_t offset, uint64_t word)
{
    (void)word;
    if (matches(scan, offset, start_marker, 4))
        scan->last_start = offset + sizeof start_marker;
    if (scan->first_end == scan->bytes && matches(scan, offset, end_marker, 2))
        scan->first_end = offset;
    return true;
}

static bool visit_tag(struct scan *scan, uint64_t offset)
{
    if (scan->have_tag)
        return fault_set(scan->fault, 0, 0, "address", scan->image->base + offset,
                         "holds a second base revision tag");
    scan->have_tag = true;
    scan->list->tag_offset = offset;
    scan->list->base_revision = word_at(scan, offset + 16);
    return true;
}

static enum feature feature_of(const uint64_t id[2])
{
    for (int f = FEATURE_UNKNOWN + 1; f < FEATURE_COUNT; f++) {
        if (features[f].id[0] == id[0] && features[f].id[1] == id[1])
            return (enum feature)f;
    }
    return FEATURE_UNKNOWN;
}

static bool visit_request(struct scan *scan, uint64_t offset, uint64_t word)
{
    struct request_list *list = scan->list;
    if (word == revision_tag[0] && scan->bytes - offset >= 24 &&
        matches(scan, offset, revision_tag, 2))
        return visit_tag(scan, offset);
    if (word != common_magic[0] || !matches(scan, offset, common_magic, 2))
        return true;

    uint64_t va = scan->image->base + offset;
    if (scan->bytes - offset < sizeof(struct limine_request))
        return fault_set(scan->fault, 0, 0, "address", va,
                         "holds a request cut off by the image's end");
    uint64_t id[2] = {word_at(scan, offset + 16), word_at(scan, offset + 24)};
    enum feature feature = feature_of(id);
    if (scan->bytes - offset < bytes_of(feature, word_at(scan, offset + 32)))
        return fault_set(scan->fault, 0, 0, "address", va,
                         "holds a request cut off by the image's end");
    for (size_t i = 0; i < list->count; i++) {
        if (list->found[i].id[0] == id[0] && list->found[i].id[1] == id[1])
            return fault_set(scan->fault, features[feature].name, FAULT_ONLY, "address", va,
                             "holds a second request; each may appear once");
    }
    if (list->count == REQUESTS_MAX)
        return fault_set(scan->fault, 0, 0, "address", va, "holds one request more than 128");
    list->found[list->count++] =
        (struct found_request){.feature = feature, .id = {id[0], id[1]}, .offset = offset};
    return true;
}

bool requests_find(const struct elf_image *image, const void *memory, struct request_list *out,
                   struct fault *fault)
{
    uint64_t bytes = image->end - image->base;
    struct scan scan = {
        .image = image,
        .memory = memory,
        .bytes = bytes,
        .end = bytes,
        .first_end = bytes,
        .list = out,
        .fault = fault,
    };
    *out = (struct request_list){0};
    (void)scan_words(&scan, visit_marker); /* never refuses */
    scan.begin = scan.last_start;
    scan.end = scan.first_end;
    if (!scan_words(&scan, visit_request))
        return false;

    if (!scan.have_tag)
        return fault_set(fault, 0, 0, "base revision", 0,
                         "is meant by a kernel without a tag; revisions below 3 are not supported");
    if (out->base_revision < LIMINE_REVISION_MIN)
        return fault_set(fault, 0, 0, "base revision", out->base_revision,
                         "is not supported; the lowest that is, is 3");
    if (out->base_revision > LIMINE_REVISION_MAX)
        return fault_set(fault, 0, 0, "base revision", out->base_revision,
                         "is not supported; the highest that is, is 6");
    return true;
}

void *requests_get(const struct request_list *list, enum feature feature, void *memory)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->found[i].feature == feature)
            return (uint8_t *)memory + list->found[i].offset;
    }
    return NULL;
}

const char *feature_name(enum feature feature)
{
    return features[feature < FEATURE_COUNT ? feature : FEATURE_UNKNOWN].name;
}
