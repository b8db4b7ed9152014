/* boot: count down if asked to, then prepare and cross over. Coming back is the exception: then all
 * is free again and the reason is on the screen. Stage: boot services alive, until boot_enter
 * succeeds. */
#include "boot.h"
#include "commands.h"
#include "firmware.h"
#include "print.h"

#define POLL_USEC        10000
#define POLLS_PER_SECOND (1000000 / POLL_USEC)
#define PENDING_KEYS_MAX 256 /* a key that is held down must not keep us reading */

static bool key_pressed(void)
{
    EFI_INPUT_KEY key;
    return ST->ConIn && !EFI_ERROR(ST->ConIn->ReadKeyStroke(ST->ConIn, &key));
}

/* True if nobody pressed a key for so long. Polls: not every console's key event can be trusted. */
static bool count_down(uint32_t seconds)
{
    for (UINTN i = 0; i < PENDING_KEYS_MAX && key_pressed(); i++)
        ;
    BS->SetWatchdogTimer(0, 0, 0, NULL); /* a boot manager gives an application five minutes */
    for (; seconds; seconds--) {
        print("\rBooting in %u s, any key stops it. ", seconds);
        for (UINTN i = 0; i < POLLS_PER_SECOND; i++) {
            if (key_pressed()) {
                print("\nStopped.\n");
                return false;
            }
            BS->Stall(POLL_USEC);
        }
    }
    print("\n");
    return true;
}

EFI_STATUS command_boot(const struct options *options)
{
    if (options->countdown && !count_down(options->countdown))
        return EXIT_FINE;
    struct boot_plan *plan = NULL;
    EFI_STATUS status = boot_prepare(options, false, &plan);
    if (!EFI_ERROR(status))
        status = boot_enter(plan);
    boot_discard(plan);
    print("Not booted: %s.\n", status_name(status));
    return status;
}
