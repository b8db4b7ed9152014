/* Linked to every driver: gnu-efi's start code finds no relocations here, which the firmware has applied. */
#include <stdint.h>

extern const uint64_t _DYNAMIC[2];
const uint64_t _DYNAMIC[2] = {0};
