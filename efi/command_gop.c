/* gop: the modes of the screen, the current one, and the one that boot would set and why. Changes
 * nothing. Stage: boot services alive. */
#include "commands.h"
#include "firmware.h"
#include "gop.h"
#include "print.h"

#define NO_MODE UINT32_MAX

static void print_format(const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info)
{
    const EFI_PIXEL_BITMASK *masks = &info->PixelInformation;
    switch (info->PixelFormat) {
    case PixelRedGreenBlueReserved8BitPerColor:
        print(" %-28s", "red, green, blue");
        break;
    case PixelBlueGreenRedReserved8BitPerColor:
        print(" %-28s", "blue, green, red");
        break;
    case PixelBitMask:
        print(" %08x, %08x, %08x", masks->RedMask, masks->GreenMask, masks->BlueMask);
        break;
    case PixelBltOnly:
        print(" %-28s", "hidden");
        break;
    default:
        print(" format %-21u", (unsigned)info->PixelFormat);
        break;
    }
}

/* One line for a mode. False if the firmware does not describe it. */
static bool print_mode(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, UINT32 mode, UINT32 chosen)
{
    EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info = NULL;
    UINTN bytes = 0;
    EFI_STATUS status = gop->QueryMode(gop, mode, &bytes, &info);
    print("%c%c%4u", mode == gop->Mode->Mode ? '*' : ' ', mode == chosen ? '>' : ' ', mode);
    if (EFI_ERROR(status) || !info) {
        print("  cannot be queried: %s\n", status_name(status));
        return false;
    }
    struct limine_video_mode linear;
    bool usable = gop_describe(gop, mode, &linear);
    print(" %6u x %-6u", info->HorizontalResolution, info->VerticalResolution);
    print_format(info);
    if (usable)
        print(" %9lu  linear\n", linear.pitch);
    else
        print(" %9s  %s\n", "-", info->PixelFormat == PixelBltOnly ? "BltOnly" : "not usable");
    BS->FreePool(info);
    return true;
}

static bool has_size(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, UINT32 mode, uint64_t width,
                     uint64_t height)
{
    struct limine_video_mode linear;
    return gop_describe(gop, mode, &linear) && linear.width == width && linear.height == height;
}

static bool is_native(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, UINT32 mode)
{
    uint64_t width, height;
    return gop_native(gop, &width, &height) && has_size(gop, mode, width, height);
}

/* Say which mode boot would choose and why. False if that is not what is wanted. */
static bool print_choice(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, const struct options *options,
                         UINT32 chosen)
{
    if (chosen == NO_MODE) {
        print("No mode has a framebuffer in memory: a boot goes without the screen.\n");
        return false;
    }
    bool asked = options->width && options->height;
    bool met = asked && has_size(gop, chosen, options->width, options->height);
    const char *why = "it is the first usable one";
    if (met)
        why = "it is the size asked for";
    else if (is_native(gop, chosen))
        why = "it is the display's own size";
    else if (chosen == gop->Mode->Mode)
        why = "it is the current one";
    if (asked && !met)
        print("No mode is %u x %u.\n", options->width, options->height);
    print("> boot would choose mode %u: %s.\n", chosen, why);
    return met || !asked;
}

EFI_STATUS command_gop(const struct options *options)
{
    EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
    EFI_STATUS status = gop_open(&gop);
    if (EFI_ERROR(status)) {
        print("No screen with a framebuffer: %s. A boot goes without.\n", status_name(status));
        return EXIT_FOUND;
    }
    UINT32 chosen;
    if (!gop_choose(gop, options, &chosen))
        chosen = NO_MODE;

    UINTN faults = 0;
    print("%6s %-15s %-28s %9s  %s\n", "Mode", "Size in pixels", "Pixel, from low to high",
          "Bytes/row", "Framebuffer");
    for (UINT32 mode = 0; mode < gop->Mode->MaxMode; mode++)
        faults += !print_mode(gop, mode, chosen);
    print("\n* the current mode is %u, its framebuffer %s at 0x%lx.\n", gop->Mode->Mode,
          size_text(gop->Mode->FrameBufferSize).text, gop->Mode->FrameBufferBase);
    faults += !print_choice(gop, options, chosen);
    return faults ? EXIT_FOUND : EXIT_FINE;
}
