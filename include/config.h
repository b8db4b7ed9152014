/* What can be tuned at build time: units and the range that makes
 * sense are beside each constant. */
#ifndef QL_CONFIG_H
#define QL_CONFIG_H

/* Bytes of the kernel's boot stack, a multiple of 4096; 16 KiB .. 1 MiB. And of each interrupt stack
 * (double fault, NMI, machine check), a multiple of 4096; from 8 KiB. A build that checks every
 * access has zones between variables. */
#ifndef QL_KASAN
#define CONFIG_BOOT_STACK_BYTES 0x8000
#define CONFIG_IST_STACK_BYTES  0x4000
#else
#define CONFIG_BOOT_STACK_BYTES 0x20000
#define CONFIG_IST_STACK_BYTES  0x8000
#endif

/* Bytes of the early (bump) arena, which holds the boot context: 72 for each memory map entry (24
 * for the copy, twice that for normalising it), 16 for each CPU, the EFI memory map. 64 KiB .. 1
 * MiB. */
#define CONFIG_EARLY_BYTES 0x40000

/* Memory map entries the kernel is ready for; needs 72 early bytes each. */
#define CONFIG_MEMORY_ENTRIES 2048

/* Bytes of EFI memory map the kernel is ready for, out of the early arena; 16 KiB .. 256 KiB. A
 * larger one is left out, and power off and reboot then do without the firmware. */
#define CONFIG_EFI_MEMMAP_BYTES 0x10000

/* Bytes of empty slabs that the heap takes at its start, a multiple of 4096; 0 .. 16 MiB. */
#ifndef CONFIG_HEAP_INITIAL_BYTES
#define CONFIG_HEAP_INITIAL_BYTES 0x10000
#endif

/* Bytes by which the heap grows where a class is in demand: the size of its larger slabs, a multiple
 * of 4096; 16 KiB .. 256 KiB. */
#define CONFIG_HEAP_GROW_BYTES 0x10000

/* Pages of empty slabs and freed runs that each CPU keeps before it gives more back; 0 .. 1048576.
 * Boot argument heap_reserve=, monitor `heap tune`. */
#define CONFIG_HEAP_RESERVE_PAGES 256

/* Free objects of a class that a CPU has at hand, and slabs with free objects that it keeps to itself; more
 * go back to their slabs, and slabs become everybody's; 1 .. 1048576. Never more than 1023 objects or
 * 1 MiB of them are at hand. Boot argument heap_depth=. */
#define CONFIG_HEAP_CACHE_DEPTH 1024

/* What a debug build (DEBUG_MEMORY=1) checks at start: 0 nothing, 1 red zones and poison, 2 also
 * allocation stacks and delayed reuse, 3 also all of the heap now and then. Boot argument
 * heap_debug=. */
#define CONFIG_HEAP_DEBUG_LEVEL 2

/* One in so many objects is put on a page of its own between guard pages; 0: none; else 16 ..
 * 16777216. Boot argument heap_sample=. */
#ifndef QL_KASAN
#define CONFIG_HEAP_SAMPLE_RATE 65536
#else /* it sees more of objects that are not sampled: their last byte */
#define CONFIG_HEAP_SAMPLE_RATE 0
#endif

/* Pages for such objects, live or freed: 16 .. 250; each costs 208 bytes, and a page while an object
 * is live. */
#define CONFIG_HEAP_SAMPLES 64

/* Bytes of freed objects whose reuse a debug build delays, at level 2 and 3; 0 .. 1 GiB. */
#define CONFIG_HEAP_DELAY_BYTES 0x400000

/* Object caches that can be there at the same time; each costs a lane per CPU; 8 .. 128. */
#ifndef CONFIG_HEAP_CACHES_MAX
#define CONFIG_HEAP_CACHES_MAX 48
#endif

/* Ranges of RAM that can be added while we run, plus one for the memory at boot; each costs 1.2 KiB.
 * 1 .. 64. */
#define CONFIG_PMM_ZONES_MAX 8

/* CPUs the kernel can run on, a multiple of 64; each costs some per-CPU data. 64 .. 1024. */
#ifndef CONFIG_CPUS_MAX
#define CONFIG_CPUS_MAX 256
#endif

/* Translations that are flushed one by one (invlpg); for more, all are: one invlpg costs about what
 * reloading 20 to 30 translations does. 1 .. 512. */
#define CONFIG_TLB_FLUSH_PAGES 32

/* Bytes of RAM that a build with KASAN=1 watches, the lowest ones; an eighth of that is taken for it.
 * 0 .. 1 TiB */
#define CONFIG_KASAN_RAM_BYTES (20ull << 30)

/* Text cells the framebuffer console can hold: 4 bytes each in .bss. */
#define CONFIG_CONSOLE_COLUMNS 256
#define CONFIG_CONSOLE_ROWS    128

#endif
