/* Model of the frame allocator's protocol between CPUs: blocks, their lines, entries and lists, slots
 * of CPUs, stealing, and when an allocation may fail. Checked by Spin over all interleavings of OPS
 * operations on each of CPUS CPUs, from every consistent state of BLOCKS blocks of 2 frames.
 *
 * Each access to shared memory is one step. What is shown:
 *   - no frame is handed out twice, and a free of an allocated frame is never taken for misuse;
 *   - an allocation fails only if at some moment of the call no frame was free (so the last free
 *     frame can be had by any CPU, from wherever it is kept);
 *   - when all is quiet every frame is allocated, or free in exactly one place; a block without an
 *     owner is on the list that its line says, a free block is whole and on no list;
 *   - nobody waits for ever.
 *
 * Abstractions: a row is one frame and a line two rows, so a line is never read at one moment; the
 * trees are exact (bit_tree.pml); stores to what the biased lock guards are seen at once (bias.pml);
 * one slot for each CPU; the classes are: no frame, one frame, the whole block.
 *
 * NO_... leave out one step; each must make an error appear (test_proofs.py). */
#ifndef CPUS
#define CPUS 2
#endif
#ifndef BLOCKS
#define BLOCKS 1
#endif
#ifndef OPS
#define OPS 2
#endif
#ifndef OWNERS_FROM
#define OWNERS_FROM 0 /* the first CPU that may have a slot in the first state */
#endif
#define FRAMES 2 /* in a block */
#define NONE 255
#define FULL 3 /* a line or mask with all bits */
#define BIT(i) (1 << (i))

/* The block. The entry (owner, listed) is one word and only touched in one step. */
byte line[BLOCKS];   /* 1 = used, or in the mask of the owner */
byte owner[BLOCKS];  /* NONE or a CPU */
byte listed[BLOCKS]; /* class */
byte list = 0;       /* blocks with a free frame */
byte whole = 0;      /* blocks all free */

/* The CPU. */
byte slot[CPUS];    /* NONE or a block */
byte mask[CPUS];    /* frames of that block free for this CPU */
bit busy[CPUS];
bit steal[CPUS];
byte turn[CPUS];    /* how often the slot got another block */
byte seq[CPUS];     /* seq and holding are one word */
bit holding[CPUS];

/* Ghosts. */
bool allocated[BLOCKS * FRAMES]; /* the truth */
bool freeing[BLOCKS * FRAMES];   /* some CPU is about to free it, or to be given it */
byte nfree = 0;
bool had[CPUS];  /* what the call wants was free during the whole of it so far */
bool pair[CPUS]; /* it wants both frames of a block */
#if BLOCKS > 1
#define FREE_PAIR (!allocated[0] && !allocated[1] || !allocated[2] && !allocated[3])
#else
#define FREE_PAIR (!allocated[0] && !allocated[1])
#endif
byte finished = 0;
#ifdef SORTED
byte allocs;
#endif

inline took(f) {
    assert(!allocated[f]); allocated[f] = true; freeing[f] = true; nfree--;
    gc = 0;
    do
    :: gc < CPUS ->
       if :: !pair[gc] -> had[gc] = had[gc] && nfree > 0
          :: else -> had[gc] = had[gc] && FREE_PAIR
       fi;
       gc++
    :: else -> break
    od;
    gc = 0
}
inline gave(f) { assert(allocated[f]); allocated[f] = false; freeing[f] = false; nfree++ }

/* ---- the biased lock, as bias.pml shows it to be ---- */
inline lock_own() {
    do
    :: atomic { !steal[me] -> busy[me] = 1; break }
    od
}
inline unlock_own() { busy[me] = 0 }

/* ---- the owner's part ---- */
/* Class of a line read row by row. */
inline class_of(copy, c) {
    c = (copy == FULL -> 0 : (copy == 0 -> 2 : 1))
}
inline read_line(b, copy) {
#ifdef ONE_ROW
    d_step { copy = line[b] }
#else
    d_step { copy = line[b] & 1 };
    d_step { copy = copy | (line[b] & 2) }
#endif
}
inline take_off(b, was) { /* the owner takes the block off its list */
#ifdef NO_UNLIST
    skip
#else
    if :: was == 1 -> d_step { list = list & ~BIT(b) } :: else fi
#endif
}
/* Put an owned block, with nothing in a mask any more, where it belongs. */
inline publish(b) {
    do
    :: read_line(b, copy);
#ifdef CHECK_WHOLE_ONCE
       if :: copy == 0 && !again ->
#else
       if :: copy == 0 ->
#endif
              /* From here on line and entry are somebody else's. */
#ifdef OWNER_NONE_WHOLE
              d_step { owner[b] = NONE; listed[b] = 0 };
#endif
              d_step { whole = whole | BIT(b) }; break
          :: else
       fi;
#ifdef CHECK_WHOLE_ONCE
       again = true;
#endif
       class_of(copy, class);
#ifdef NO_LIST_FIRST
       d_step { owner[b] = NONE; listed[b] = (class > 0) };
       if :: class > 0 -> d_step { list = list | BIT(b) } :: else fi;
#else
       if :: class > 0 -> d_step { list = list | BIT(b) } :: else fi;
       d_step { owner[b] = NONE; listed[b] = (class > 0) };
#endif
#ifdef NO_REREAD
       break;
#endif
       read_line(b, now);
       if :: now == copy -> break
          :: else
       fi;
       own(b);
       if :: !won -> break :: else fi
    od;
    again = false; copy = 0; now = 0; class = 0
}
/* Read the entry, then own the block unless that has changed meanwhile. */
inline own(b) {
    d_step { was = listed[b]; won = (owner[b] == NONE) };
    if :: won -> own_from(b) :: else fi
}
inline own_from(b) {
#ifdef NO_CAS_OWN
    d_step { owner[b] = me };
#else
    d_step { won = (owner[b] == NONE && listed[b] == was); if :: won -> owner[b] = me :: else fi };
#endif
    if :: won -> take_off(b, was) :: else fi
}
/* Put the mask of CPU c's slot back and publish the block. */
inline release(c) {
    if
    :: slot[c] != NONE ->
       d_step {
           b2 = slot[c];
#ifndef NO_SEQ_RELEASE
           seq[me]++
#endif
       };
       d_step { line[b2] = line[b2] & ~mask[c]; mask[c] = 0; slot[c] = NONE; turn[c]++ };
#ifdef NO_HOLDING_LAST
       d_step { holding[c] = 0 };
#endif
       publish(b2);
#ifndef NO_HOLDING_LAST
       d_step { holding[c] = 0 };
#endif
       d_step {
#ifndef NO_SEQ_RELEASE
           seq[me]++;
#endif
           b2 = 0;
       }
    :: else
    fi
}
/* All frames of the line that are free come into the mask. */
inline refill(b) {
#ifdef NO_ATOMIC_REFILL
    d_step { now = line[b] };
    d_step { mask[me] = mask[me] | (FULL & ~now); line[b] = FULL; now = 0 }
#else
    d_step { mask[me] = mask[me] | (FULL & ~line[b]); line[b] = FULL }
#endif
}

/* ---- allocating ---- */
inline pick() { /* from the mask: plain loads and stores under the lock */
    d_step {
        if
        :: mask[me] & 1 -> mask[me] = mask[me] & ~1; got = slot[me] * FRAMES
        :: else -> mask[me] = mask[me] & ~2; got = slot[me] * FRAMES + 1
        fi;
        took(got)
    }
}
/* In the slot, then on the lists, then a whole block. got = NONE if nothing is found. */
inline find() {
    got = NONE;
    lock_own();
    if :: !pair[me] && slot[me] != NONE && mask[me] == 0 -> refill(slot[me]) :: else fi;
    if
    :: !pair[me] && mask[me] != 0 -> pick()
    :: else ->
#ifdef KEEP_OWN_SLOT
       if :: !pair[me] -> release(me) :: else fi;
#else
       release(me);
#endif
       b = 0;
       do
       :: b == BLOCKS -> break
       :: b < BLOCKS && !pair[me] && (list & BIT(b)) ->
          d_step { was = listed[b]; won = (owner[b] == NONE) };
          if
          :: won ->
             seq[me]++;
             own_from(b);
             if
             :: won ->
#ifdef NO_HOLDING
                d_step { slot[me] = b };
#else
                d_step { slot[me] = b; holding[me] = 1 };
#endif
                refill(b);
                if
                :: mask[me] != 0 -> pick(); seq[me]++; break
                :: else -> seq[me]++; release(me)
                fi
             :: else -> seq[me]++
             fi
          :: else
          fi;
          b++
       :: b < BLOCKS && (whole & BIT(b)) ->
          seq[me]++;
#ifdef NO_ATOMIC_CLAIM
          d_step { won = true };
          d_step { whole = whole & ~BIT(b) };
#else
          d_step { won = ((whole & BIT(b)) != 0); whole = whole & ~BIT(b) };
#endif
          if
          :: won ->
             d_step { line[b] = FULL };
             if
             :: pair[me] ->
                d_step { took(b * FRAMES); took(b * FRAMES + 1); got = b * FRAMES };
                d_step { owner[b] = NONE; listed[b] = 0 }
             :: else ->
                d_step { owner[b] = me; listed[b] = 0 };
                d_step { slot[me] = b; mask[me] = FULL; holding[me] = 1 };
                pick()
             fi;
             seq[me]++; break
          :: else -> seq[me]++
          fi;
          b++
       :: else -> b++
       od
    fi;
    atomic { b = 0; was = 0; won = 0 };
    unlock_own()
}
inline steal_from(c) {
    atomic { !steal[c] -> steal[c] = 1 };
    /* heavy barrier: see bias.pml */
#ifndef NO_WAIT
    !busy[c];
#endif
    release(c);
    steal[c] = 0
}
inline alloc() {
    d_step { had[me] = (pair[me] -> FREE_PAIR : nfree > 0) };
    do
    :: find();
       if :: got != NONE -> break :: else fi;
#ifdef ODD_LOOKING
       seq[me]++;
#endif
       d_step { c = 0; calm = true };
       do
       :: c == CPUS -> break
       :: c == me -> c++
       :: else ->
          d_step { seen[c] = seq[c];
#ifdef NO_LOOK_ODD
                   won = holding[c];
#else
                   won = (seq[c] & 1) || holding[c];
#endif
          };
          if :: won -> calm = false; steal_from(c) :: else fi;
          c++
       od;
       atomic { c = 0; won = 0 };
#ifdef ODD_LOOKING
       seq[me]++;
#endif
       if :: !calm -> goto forget :: else fi;
#ifndef NO_SEARCH_AGAIN
       find();
       if :: got != NONE -> break :: else fi;
#endif
#ifndef NO_SEQ_AGAIN
       do
       :: c == CPUS -> break
       :: c == me -> c++
       :: else -> d_step { if :: seen[c] != seq[c] -> calm = false :: else fi; c++ }
       od;
#endif
       if :: calm -> assert(!had[me]); break
          :: else
       fi;
forget:
       atomic { c = 0; gc = 0; do :: gc < CPUS -> seen[gc] = 0; gc++ :: else -> break od; gc = 0; calm = 0 }
    od;
    if
    :: got != NONE -> d_step { freeing[got] = false; if :: pair[me] -> freeing[got + 1] = false :: else fi }
    :: else
    fi;
    atomic { c = 0; calm = 0; got = NONE; had[me] = false; pair[me] = false;
             gc = 0; do :: gc < CPUS -> seen[gc] = 0; gc++ :: else -> break od; gc = 0 }
}

/* ---- freeing ---- */
/* Is the frame in the mask of the CPU that owns the block? Read in four steps. */
inline peek(f) {
#ifdef NO_PEEK
    won = false
#else
    d_step { was = owner[f / FRAMES]; won = false };
    if
    :: was != NONE ->
       now = turn[was];
       if
       :: slot[was] == f / FRAMES ->
          won = ((mask[was] & BIT(f % FRAMES)) != 0);
#ifndef NO_TURN
          won = won && turn[was] == now;
#endif
       :: else
       fi;
    :: else
    fi;
    d_step { was = 0; now = 0 }
#endif
}
inline free() {
    /* Any allocated frame, whoever allocated it. */
    atomic {
        if
        :: allocated[0] && !freeing[0] -> got = 0
        :: allocated[1] && !freeing[1] -> got = 1
#if BLOCKS > 1
        :: allocated[2] && !freeing[2] -> got = 2
        :: allocated[3] && !freeing[3] -> got = 3
#endif
        :: else -> got = NONE
        fi;
        if :: got != NONE -> freeing[got] = true; b = got / FRAMES :: else fi
    }
    if
    :: got != NONE ->
       lock_own();
       if
       :: slot[me] == b ->
          d_step {
              assert(!(mask[me] & BIT(got % FRAMES)));
              assert(line[b] & BIT(got % FRAMES));
              mask[me] = mask[me] | BIT(got % FRAMES); gave(got)
          };
          unlock_own()
       :: else ->
#ifdef UNLOCKED_FREE
          unlock_own();
#endif
#ifndef LATE_SEQ
          seq[me]++;
#endif
          assert(!(whole & BIT(b)));
          peek(got);
          assert(!won);
          d_step {
              assert(line[b] & BIT(got % FRAMES));
              line[b] = line[b] & ~BIT(got % FRAMES); gave(got)
          };
#ifndef NO_FREE_OWN
          d_step { was = listed[b]; won = (owner[b] == NONE) };
          if
          :: won ->
             read_line(b, copy); class_of(copy, class);
             if
             :: class > was ->
#ifdef LATE_SEQ
                seq[me]++;
#endif
                own_from(b);
                if :: won -> publish(b) :: else fi;
#ifdef LATE_SEQ
                seq[me]++;
#endif
             :: else
             fi
          :: else
          fi;
#endif
#ifndef LATE_SEQ
          seq[me]++;
#endif
#ifndef UNLOCKED_FREE
          unlock_own()
#endif
       fi
    :: else
    fi;
    d_step { got = NONE; b = 0; was = 0; won = 0; copy = 0; class = 0 }
}

proctype cpu(byte me) {
    byte got = NONE, b, b2, c, was, copy, now, class, ops, gc;
    byte seen[CPUS];
    bool won, calm, again;
    do
    :: ops < OPS ->
progress:
       ops++;
       if
#ifdef SORTED /* CPUs are alike: those below number `allocs` allocate, the others free */
       :: me < allocs -> alloc()
       :: me >= allocs -> free()
#else
       :: alloc()
       :: free()
#endif
#ifdef PAIRS
       :: pair[me] = true; alloc()
#endif
#ifdef DRAIN
       :: lock_own(); release(me); unlock_own()
#endif
       fi
    :: else -> break
    od;
    finished++
}

/* Every consistent state of a block is a first state. */
inline set_up(b) {
    if
    :: whole = whole | BIT(b); owner[b] = 0; listed[b] = 1; line[b] = 0; nfree = nfree + 2
    :: /* nobody's */
       owner[b] = NONE;
       if
       :: line[b] = FULL; allocated[b * 2] = true; allocated[b * 2 + 1] = true
       :: line[b] = 1; allocated[b * 2] = true; nfree++
       :: line[b] = 2; allocated[b * 2 + 1] = true; nfree++
       fi;
       if :: line[b] != FULL -> listed[b] = 1; list = list | BIT(b) :: else fi
    :: /* in the slot of a CPU: each frame is allocated, in the mask or in the line */
       select(c : 0 .. (CPUS - 1));
       if
       :: slot[c] == NONE && c >= OWNERS_FROM ->
          slot[c] = b; owner[b] = c; holding[c] = 1; line[b] = FULL;
          f = 0;
          do
          :: f < 2 ->
             if
             :: allocated[b * 2 + f] = true
             :: mask[c] = mask[c] | BIT(f); nfree++
             :: line[b] = line[b] & ~BIT(f); nfree++
             fi;
             f++
          :: f == 2 -> break
          od
       :: else -> whole = whole | BIT(b); nfree = nfree + 2
       fi
    fi
}
/* When all is quiet. */
inline check(b) {
    if
    :: whole & BIT(b) ->
       assert(!allocated[b * 2] && !allocated[b * 2 + 1] && !(list & BIT(b)));
       c = 0; do :: c < CPUS -> assert(slot[c] != b); c++ :: else -> break od
    :: else ->
       assert(((list & BIT(b)) != 0) == (owner[b] == NONE && line[b] != FULL));
       if
       :: owner[b] == NONE ->
          assert(line[b] == allocated[b * 2] + 2 * allocated[b * 2 + 1]);
          assert(line[b] != 0 && listed[b] == (line[b] != FULL))
       :: else ->
          assert(slot[owner[b]] == b && holding[owner[b]]);
          assert((mask[owner[b]] & line[b]) == mask[owner[b]]);
          assert((line[b] & ~mask[owner[b]]) == allocated[b * 2] + 2 * allocated[b * 2 + 1])
       fi
    fi
}
init {
    byte c, f;
#ifdef DOUBLE
    byte me, got, was, now;
    bool won;
#endif
    d_step { c = 0; do :: c < CPUS -> slot[c] = NONE; c++ :: else -> break od };
    atomic {
        set_up(0);
#if BLOCKS > 1
        set_up(1);
#endif
#ifdef SORTED
#ifdef ALLOCS
        allocs = ALLOCS;
#else
        select(allocs : 0 .. CPUS);
#endif
#endif
        run cpu(0); run cpu(1);
#if CPUS > 2
        run cpu(2);
#endif
        c = 0; f = 0
    };
    finished == CPUS;
    d_step {
        check(0);
#if BLOCKS > 1
        check(1);
#endif
    }
#ifdef DOUBLE
    /* A CPU frees a frame that is free already; nothing else runs. */
    select(me : 0 .. (CPUS - 1));
    if :: !allocated[0] -> got = 0 :: !allocated[1] -> got = 1 :: allocated[0] && allocated[1] -> got = NONE fi;
    if
    :: got != NONE && slot[me] == 0 -> assert((mask[me] & BIT(got)) || !(line[0] & BIT(got)))
    :: got != NONE && slot[me] != 0 && !(whole & 1) -> peek(got); assert(won || !(line[0] & BIT(got)))
    :: else
    fi
#endif
}
