/* Owns: the pattern in free frames of a debug build.
 * Relies on: the direct map. Stage: "frames". */
#include "poison.h"

#ifdef QL_DEBUG

#include "mm/port.h"
#include "mm/string.h"

#define POISON    0x6b6b6b6b6b6b6b6bull /* no canonical address, no small number */
#define WORDS     (FRAME_BYTES / sizeof(uint64_t))
#define WITNESSES 8 /* so many words in a row do not come about by chance */

void poison_write(uint64_t frame, uint64_t n)
{
    /* Who had them may have forbidden what he freed there. */
    kasan_allow_frames(frame_address(frame), n);
    memset64(phys_to_virt(frame_address(frame)), POISON, n * WORDS);
}

/* A frame that begins or ends with the pattern was filled with it. */
static bool was_filled(const uint64_t *words)
{
    bool head = true, tail = true;
    for (unsigned i = 0; i < WITNESSES; i++) {
        head = head && words[i] == POISON;
        tail = tail && words[WORDS - 1 - i] == POISON;
    }
    return head || tail;
}

void poison_look(uint64_t frame, uint64_t n)
{
    for (uint64_t end = frame + n; frame < end; frame++) {
        uint64_t *words = phys_to_virt(frame_address(frame));
        if (!was_filled(words))
            continue;
        for (unsigned i = 0; i < WORDS; i++)
            if (words[i] != POISON)
                port_panic("pmm: frame 0x%lx was written to after it was freed: 0x%lx at byte %lu",
                           pa_number(frame_address(frame)), (unsigned long)words[i],
                           (unsigned long)(i * sizeof(uint64_t)));
        memset64(words, 0, WITNESSES); /* so that it no longer looks filled */
    }
}

#endif
