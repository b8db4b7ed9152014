/* Graphics modes and the framebuffer behind them. Stage: boot services alive. */
#ifndef QL_EFI_GOP_H
#define QL_EFI_GOP_H

#include <efi.h>
#include <stdbool.h>
#include <stdint.h>

#include "boot/limine.h"
#include "options.h"
#include "status.h"

/* Open the console's graphics output. EFI_NOT_FOUND where the machine has none. */
EFI_STATUS gop_open(EFI_GRAPHICS_OUTPUT_PROTOCOL **out) MUST_USE;

/* Mode number i in the protocol's terms. False if the query fails or the mode has no linear 32 bpp
 * framebuffer (BltOnly, bad masks). */
bool gop_describe(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, UINT32 mode, struct limine_video_mode *out);

/* The mode that is set now, as the protocol's Mode structure has it: base and pitch may differ from
 * what a query promised. False if it has no linear 32 bpp framebuffer. */
bool gop_current(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, struct limine_video_mode *out);

/* The mode that a boot would set: the one asked for (options), else the display's native one
 * (EDID), else the current one, else the first usable. False: none is usable. */
bool gop_choose(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, const struct options *options, UINT32 *out);

/* The display's own size: that of the EDID's first detailed timing. False if unknown. */
bool gop_native(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, uint64_t *width, uint64_t *height);

/* EDID of the display, NULL if unknown. */
const uint8_t *gop_edid(EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, UINTN *bytes);

#endif
