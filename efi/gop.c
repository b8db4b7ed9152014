/* Graphics modes: which exist, which one a boot should set. Nothing here changes the mode.
 * Stage: boot services alive. source: UEFI "EFI_GRAPHICS_OUTPUT_PROTOCOL", VESA E-EDID 1.4. */
#include "gop.h"

#include "bytes.h"
#include "firmware.h"

static EFI_GUID gop_guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
static EFI_GUID edid_active_guid = EFI_EDID_ACTIVE_PROTOCOL_GUID;
static EFI_GUID edid_discovered_guid = EFI_EDID_DISCOVERED_PROTOCOL_GUID;

#define DIMENSION_MAX 32768 /* pixels; larger is a broken answer, not a display */
#define EDID_BYTES    128   /* the base block */

static bool has_linear_mode(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop)
{
    struct limine_video_mode mode;
    if (!gop->Mode)
        return false;
    for (UINT32 i = 0; i < gop->Mode->MaxMode; i++) {
        if (gop_describe(gop, i, &mode))
            return true;
    }
    return false;
}

EFI_STATUS gop_open(EFI_GRAPHICS_OUTPUT_PROTOCOL **out)
{
    EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
    if (ST->ConsoleOutHandle &&
        !EFI_ERROR(firmware_protocol(ST->ConsoleOutHandle, &gop_guid, (void **)&gop)) &&
        has_linear_mode(gop)) {
        *out = gop;
        return EFI_SUCCESS;
    }

    /* A console on several displays has a virtual GOP that can only blit; take a real one. */
    EFI_HANDLE *handles = NULL;
    UINTN count = 0;
    EFI_STATUS status = BS->LocateHandleBuffer(ByProtocol, &gop_guid, NULL, &count, &handles);
    if (EFI_ERROR(status))
        return EFI_NOT_FOUND;
    status = EFI_NOT_FOUND;
    for (UINTN i = 0; i < count && EFI_ERROR(status); i++) {
        if (!EFI_ERROR(firmware_protocol(handles[i], &gop_guid, (void **)&gop)) &&
            has_linear_mode(gop)) {
            *out = gop;
            status = EFI_SUCCESS;
        }
    }
    (void)BS->FreePool(handles);
    return status;
}

/* A colour's mask as size and shift. False unless it is one run of bits (10 are as good as 8). */
static bool mask_split(UINT32 mask, uint8_t *size, uint8_t *shift)
{
    if (!mask)
        return false;
    *shift = (uint8_t)__builtin_ctz(mask);
    UINT32 run = mask >> *shift;
    if (run & (run + 1))
        return false;
    *size = (uint8_t)(32 - __builtin_clz(run));
    return true;
}

static bool describe_pixels(const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info,
                            struct limine_video_mode *out)
{
    EFI_PIXEL_BITMASK masks;
    switch (info->PixelFormat) {
    case PixelRedGreenBlueReserved8BitPerColor:
        masks = (EFI_PIXEL_BITMASK){0xff, 0xff00, 0xff0000, 0xff000000};
        break;
    case PixelBlueGreenRedReserved8BitPerColor:
        masks = (EFI_PIXEL_BITMASK){0xff0000, 0xff00, 0xff, 0xff000000};
        break;
    case PixelBitMask:
        masks = info->PixelInformation;
        break;
    default: /* BltOnly: no framebuffer to write to */
        return false;
    }
    UINT32 colours = masks.RedMask | masks.GreenMask | masks.BlueMask;
    if (!((colours | masks.ReservedMask) >> 24))
        return false; /* the highest mask bit gives the pixel's size: this is 24 bpp or less */
    if ((masks.RedMask & masks.GreenMask) | (masks.BlueMask & (masks.RedMask | masks.GreenMask)))
        return false;
    return mask_split(masks.RedMask, &out->red_mask_size, &out->red_mask_shift) &&
           mask_split(masks.GreenMask, &out->green_mask_size, &out->green_mask_shift) &&
           mask_split(masks.BlueMask, &out->blue_mask_size, &out->blue_mask_shift);
}

static bool describe_info(const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info,
                          struct limine_video_mode *out)
{
    if (info->HorizontalResolution == 0 || info->HorizontalResolution > DIMENSION_MAX ||
        info->VerticalResolution == 0 || info->VerticalResolution > DIMENSION_MAX ||
        info->PixelsPerScanLine < info->HorizontalResolution ||
        info->PixelsPerScanLine > 4 * DIMENSION_MAX)
        return false;
    *out = (struct limine_video_mode){
        .pitch = 4ull * info->PixelsPerScanLine,
        .width = info->HorizontalResolution,
        .height = info->VerticalResolution,
        .bpp = 32,
        .memory_model = LIMINE_MEMORY_MODEL_RGB,
    };
    return describe_pixels(info, out);
}

bool gop_describe(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, UINT32 mode, struct limine_video_mode *out)
{
    EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info = NULL;
    UINTN bytes = 0;
    if (EFI_ERROR(gop->QueryMode(gop, mode, &bytes, &info)) || !info)
        return false;
    bool usable = bytes >= sizeof *info && describe_info(info, out);
    (void)BS->FreePool(info);
    return usable;
}

bool gop_current(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, struct limine_video_mode *out)
{
    return gop->Mode && gop->Mode->Info && gop->Mode->FrameBufferBase &&
           describe_info(gop->Mode->Info, out);
}

bool gop_native(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, uint64_t *width, uint64_t *height)
{
    UINTN bytes;
    const uint8_t *edid = gop_edid(gop, &bytes);
    if (!edid)
        return false;
    const uint8_t *timing = edid + 54;
    if (timing[0] == 0 && timing[1] == 0)
        return false; /* no pixel clock: a text descriptor, not a timing */
    *width = timing[2] | (timing[4] & 0xf0u) << 4;
    *height = timing[5] | (timing[7] & 0xf0u) << 4;
    return *width && *height;
}

bool gop_choose(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, const struct options *options, UINT32 *out)
{
    enum { NONE = 0xffffffff };
    UINT32 asked = NONE, native = NONE, current = NONE, first = NONE;
    uint64_t native_width = 0, native_height = 0;
    bool have_native = gop_native(gop, &native_width, &native_height);

    for (UINT32 i = 0; i < gop->Mode->MaxMode; i++) {
        struct limine_video_mode mode;
        if (!gop_describe(gop, i, &mode))
            continue;
        bool is_current = i == gop->Mode->Mode;
        if (first == NONE)
            first = i;
        if (is_current)
            current = i;
        /* Of several modes of one size the current one is best: it needs no SetMode. */
        if (mode.width == options->width && mode.height == options->height &&
            (asked == NONE || is_current))
            asked = i;
        if (have_native && mode.width == native_width && mode.height == native_height &&
            (native == NONE || is_current))
            native = i;
    }
    const UINT32 preference[] = {asked, native, current, first};
    for (UINTN i = 0; i < sizeof preference / sizeof preference[0]; i++) {
        if (preference[i] != NONE) {
            *out = preference[i];
            return true;
        }
    }
    return false;
}

static bool edid_valid(const uint8_t *edid, UINTN bytes)
{
    static const uint8_t magic[8] = {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0};
    if (!edid || bytes < EDID_BYTES || memcmp(edid, magic, sizeof magic))
        return false;
    uint8_t sum = 0;
    for (UINTN i = 0; i < EDID_BYTES; i++)
        sum = (uint8_t)(sum + edid[i]);
    return sum == 0;
}

const uint8_t *gop_edid(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, UINTN *bytes)
{
    (void)
        gop; /* the console's GOP may be a virtual one without EDID: the display's handle has it */
    EFI_EDID_ACTIVE_PROTOCOL *active;
    if (!EFI_ERROR(firmware_protocol(NULL, &edid_active_guid, (void **)&active)) &&
        edid_valid(active->Edid, active->SizeOfEdid)) {
        *bytes = active->SizeOfEdid;
        return active->Edid;
    }
    EFI_EDID_DISCOVERED_PROTOCOL *found;
    if (!EFI_ERROR(firmware_protocol(NULL, &edid_discovered_guid, (void **)&found)) &&
        edid_valid(found->Edid, found->SizeOfEdid)) {
        *bytes = found->SizeOfEdid;
        return found->Edid;
    }
    return NULL;
}
