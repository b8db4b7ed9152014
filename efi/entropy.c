/* A small random generator: everything that is collected goes into a 256-bit key by ChaCha20, and
 * every block put out replaces the key ("fast key erasure"), so what was given out cannot be
 * computed from what is left in memory. source: RFC 8439 (the block function). */
#include "entropy.h"

#include "bytes.h"
#include "cpu.h"
#include "firmware.h"

#define KEY_WORDS      8
#define JITTER_ROUNDS  64
#define HARDWARE_TRIES 10

static uint32_t key[KEY_WORDS];
static uint64_t block_count;
static bool strong;

static uint32_t rotate(uint32_t x, int bits)
{
    return x << bits | x >> (32 - bits);
}

static void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
    *a += *b, *d = rotate(*d ^ *a, 16);
    *c += *d, *b = rotate(*b ^ *c, 12);
    *a += *b, *d = rotate(*d ^ *a, 8);
    *c += *d, *b = rotate(*b ^ *c, 7);
}

/* One ChaCha20 block of the key and the running number. */
static void block(uint32_t out[static 16])
{
    const uint32_t in[16] = {
        0x61707865,
        0x3320646e,
        0x79622d32,
        0x6b206574,
        key[0],
        key[1],
        key[2],
        key[3],
        key[4],
        key[5],
        key[6],
        key[7],
        (uint32_t)block_count,
        (uint32_t)(block_count >> 32),
        0,
        0,
    };
    block_count++;
    memcpy(out, in, sizeof in);
    for (int i = 0; i < 10; i++) {
        for (int j = 0; j < 4; j++)
            quarter_round(&out[j], &out[4 + j], &out[8 + j], &out[12 + j]);
        for (int j = 0; j < 4; j++)
            quarter_round(&out[j], &out[4 + (j + 1) % 4], &out[8 + (j + 2) % 4],
                          &out[12 + (j + 3) % 4]);
    }
    for (int i = 0; i < 16; i++)
        out[i] += in[i];
}

/* Mix bytes into the key. */
static void absorb(const void *data, size_t bytes)
{
    const uint8_t *from = data;
    while (bytes) {
        size_t part = bytes < sizeof key ? bytes : sizeof key;
        uint32_t mixed[16];
        for (size_t i = 0; i < part; i++)
            ((uint8_t *)key)[i] ^= from[i]; /* the key as bytes */
        block(mixed);
        memcpy(key, mixed, sizeof key);
        from += part;
        bytes -= part;
    }
}

/* One word from RDSEED or RDRAND; false if the instruction has nothing to give. */
static bool hardware_word(bool seed, uint64_t *out)
{
    for (int i = 0; i < HARDWARE_TRIES; i++) {
        bool ok;
        if (seed)
            __asm__ volatile("rdseed %0; setc %1" : "=r"(*out), "=qm"(ok)::"cc");
        else
            __asm__ volatile("rdrand %0; setc %1" : "=r"(*out), "=qm"(ok)::"cc");
        if (ok)
            return true;
        cpu_pause();
    }
    return false;
}

static bool absorb_hardware(bool seed)
{
    uint64_t words[4];
    for (int i = 0; i < 4; i++) {
        if (!hardware_word(seed, &words[i]))
            return false;
    }
    absorb(words, sizeof words);
    /* Some CPUs return all ones, always, after a suspend or a missing update. */
    return words[0] != words[1] && words[1] != words[2] && ~words[0] && ~words[1];
}

static bool absorb_protocol(void)
{
    static EFI_GUID rng_guid = EFI_RNG_PROTOCOL_GUID;
    EFI_RNG_PROTOCOL *rng;
    uint8_t bytes[32];
    if (EFI_ERROR(firmware_protocol(NULL, &rng_guid, (void **)&rng)) ||
        EFI_ERROR(rng->GetRNG(rng, NULL, sizeof bytes, bytes)))
        return false;
    absorb(bytes, sizeof bytes);
    return true;
}

static void absorb_jitter(void)
{
    uint64_t samples[JITTER_ROUNDS];
    for (int i = 0; i < JITTER_ROUNDS; i++)
        samples[i] = cpu_rdtsc();
    absorb(samples, sizeof samples);
    EFI_TIME now = {0};
    if (!EFI_ERROR(RT->GetTime(&now, NULL)))
        absorb(&now, sizeof now);
}

void entropy_init(void)
{
    bool have_seed = cpuid_or_zero(7, 0).ebx >> 18 & 1;
    bool have_rand = cpuid(1, 0).ecx >> 30 & 1;
    strong = absorb_protocol();
    if (have_seed && absorb_hardware(true))
        strong = true;
    else if (have_rand && absorb_hardware(false))
        strong = true;
    absorb_jitter();
}

uint64_t entropy_next(void)
{
    uint32_t out[16];
    block(out);
    memcpy(key, out, sizeof key);
    return (uint64_t)out[8] << 32 | out[9];
}

bool entropy_is_strong(void)
{
    return strong;
}
