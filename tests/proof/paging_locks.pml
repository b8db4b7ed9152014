/* Of the model in paging.pml: what an entry is, what a CPU does, and how tables are held and locked, as
 * mm/paging/locks.c and locks.h have it. */
/* An entry: empty, a page, or a link to a table in frame 1 .. FRAMES. */
#define PAGE     8
#define LINK     16
#define LOCKED   32
#define COUNT    64 /* times 0 .. 2 */
#define LEAVING  4
#define FRAME(e)    ((e) & 3)
#define IS_TABLE(e) (((e) & (LINK | LEAVING)) == LINK)
#define COUNT_OF(e) ((e) / COUNT)
#define BEFORE(e)   ((e) & ~LEAVING)

/* Slot i of frame f, frame 0 is the root; and what leads to the root. */
#define SLOT(f, i) (2 * (f) + (i))
#define ROOT SLOT(0, 0)
#define TOP  SLOT(0, 1)
byte word[2 * (FRAMES + 1)];
#define SLOTS_USED(f) ((word[SLOT(f, 0)] != 0) + ((f) != 0 && word[SLOT(f, 1)] != 0))

/* What each CPU does. */
#define IDLE   0
#define BUSY   1
#define ON_WAY 2
#define ACTIVITY 3
#define NUMBER 4 /* the bit that stands for the number */
byte doing[CPUS];
bit frozen = 0;
byte changes = 0;

/* Ghosts. */
byte allocated = 0;    /* frames */
byte tree = 1;         /* frames of tables that are in it; the root's, too */
byte held[FRAMES + 1]; /* by which CPU */
byte path[CPUS];       /* frames to which a CPU that holds nothing has read a link */
bit lost = 0;          /* the frame that the reader is about to read in has been freed */
byte reading = 0;      /* that frame */
bit was_page = 0;      /* page 0 was there at a moment of the reader's call */
bit was_empty = 0;
byte finished = 0;

/* True if page 0 is mapped, for somebody who reads all at once. */
#define MIDDLE FRAME(word[ROOT])
#define LOWEST FRAME(word[SLOT(MIDDLE, 0)])
#define PAGE_0 (MIDDLE != 0 && (word[SLOT(MIDDLE, 0)] == PAGE || LOWEST != 0 && word[SLOT(LOWEST, 0)] == PAGE))
inline note() {
#if LOOKS
    if :: PAGE_0 -> was_page = 1 :: else -> was_empty = 1 fi
#else
    skip
#endif
}

/* A store to a slot of a table, which the CPU holds. */
inline put(x, e) {
    assert(held[(x) / 2] == me && (tree & BIT((x) / 2)));
    word[x] = e;
    note()
}

/* ---- what a CPU does ---- */
inline begin() {
    /*= mm/paging/locks.c: __atomic_exchange_n(&cpus[cpu].doing, (number + NEXT_NUMBER) | ON_WAY, __ATOMIC_SEQ_CST); */
#ifndef NO_ON_WAY
    doing[me] = ((doing[me] & NUMBER) ^ NUMBER) | ON_WAY
#else
    skip
#endif
}
/*= mm/paging/locks.c: __atomic_store_n(&cpus[cpu].doing, number | what, __ATOMIC_RELEASE); */
inline is_doing(what) { doing[me] = (doing[me] & NUMBER) | what; path[me] = 0 }
inline go_on(what) { d_step { is_doing(what) } }
inline wait_for_all(what) {
    /*= mm/paging/locks.c: while (cpu != self && (now & what) != 0 &&
               (now & ~(uint64_t)ACTIVITY) == (first & ~(uint64_t)ACTIVITY)) */
    do
    :: atomic { c == CPUS -> c = 0; break }
    :: atomic { c == me -> c++ }
    :: atomic {
           c < CPUS && c != me ->
           first = doing[c];
           if
           :: first & (what) ->
              (doing[c] & (what)) == 0 || (doing[c] & NUMBER) != (first & NUMBER)
           :: else
           fi;
           first = 0; c++
       }
    od
}

/* ---- holding ---- */
/* What an operation needs of the table: [a, b) are its pages. */
#define TOUCHED(level) ((level) == 1 -> b - a : (b - 1) / 2 - a / 2 + 1)
/*= mm/paging/locks.c: (e.raw & TABLE_PINNED) != 0 || table_count(e) > touched; */
#ifdef NO_NOT_EMPTIED
#define ENOUGH(e, level) (!merges || level != 1)
#else
#define ENOUGH(e, level) ((!clears || COUNT_OF(e) > TOUCHED(level)) && (!merges || level != 1))
#endif

inline find_table() {
    /*= mm/paging/locks.c: out->entry = entry;
            out->seen = e;
            out->level = level; */
    d_step { at = TOP; seen = word[TOP]; level = 3 };
    d_step {
        e = word[ROOT];
        if
        :: IS_TABLE(e) ->
           f = FRAME(e); path[me] = path[me] | BIT(f);
           if :: ENOUGH(e, 2) -> at = ROOT; seen = e; level = 2 :: else fi
        :: else -> f = 0
        fi
    };
    if
    :: f != 0 && a / 2 == (b - 1) / 2 ->
       d_step {
           e = word[SLOT(f, a / 2)];
           if
           :: IS_TABLE(e) ->
              path[me] = path[me] | BIT(FRAME(e));
              if :: ENOUGH(e, 1) -> at = SLOT(f, a / 2); seen = e; level = 1 :: else fi
           :: else
           fi;
           e = 0; f = 0
       }
    :: else -> e = 0; f = 0
    fi
}
/* The entry's table is locked from now on. */
inline locked(x) {
    assert(tree & BIT((x) / 2)); /* the table that the entry is in */
    assert(x == TOP || (tree & BIT(FRAME(word[x]))));
    f = FRAME(word[x]);
    assert(held[f] == NOBODY);
    held[f] = me;
    word[x] = word[x] | LOCKED;
    f = 0
}
inline try_hold() {
    find_table();
#ifdef EARLY_GO_ON
    go_on(BUSY);
#endif
    /*= mm/paging/locks.c: (out->seen.raw & TABLE_LOCKED) == 0 &&
           pte_replace(out->entry, out->seen, (pte_t){out->seen.raw | TABLE_LOCKED}) */
#ifdef WAIT_ON_WAY
    (word[at] & LOCKED) == 0;
#endif
    d_step {
        won = false;
        if
#ifdef NO_WHOLE_ENTRY
        :: !(seen & LOCKED) && !(word[at] & LOCKED) ->
#else
        :: !(seen & LOCKED) && word[at] == seen ->
#endif
           won = true; locked(at);
           /* Being on the way for longer only keeps others waiting, who does not wait itself. */
           is_doing(BUSY)
        :: else
        fi;
        /* Whether it worked or not: not in a frame that could be somebody else's. */
        assert(at / 2 == 0 || (allocated & BIT(at / 2)));
        held_frame = FRAME(seen)
    }
}
inline hold_range() {
    do
    ::
       /*= mm/paging/locks.c: begin(cpu);
        bool frozen = __atomic_load_n(&space->frozen, __ATOMIC_ACQUIRE) != 0;
        if (!frozen && try_hold(out, va, npages, rule))
            break;
        go_on(cpu, IDLE); */
       begin();
#ifdef FREEZE
#ifndef NO_LOOK_FROZEN
       if :: frozen -> goto again :: else fi;
#endif
#endif
       try_hold();
       /*= mm/paging/locks.c: go_on(cpu, BUSY);
    lock_note_acquired(space, &space_id); */
       if :: won -> break :: else fi;
again: atomic { is_doing(IDLE); at = 0; seen = 0; level = 0; held_frame = 0 }
    od;
    won = false
}
/* The entry of a table that the CPU holds gets another count, and no lock any more. */
inline let_go_of(x, count) {
    f = FRAME(word[x]);
    assert((tree & BIT((x) / 2)) && (tree & BIT(f)));
    assert(held[f] == me && (word[x] & LOCKED));
    assert((count) == SLOTS_USED(f) && ((count) > 0 || x == TOP));
    held[f] = NOBODY;
    word[x] = (x == TOP -> 0 : LINK) | f | (count) * COUNT;
    f = 0
}
inline hold_release(count) {
    /*= mm/paging/locks.c: uint64_t raw = hold->seen.raw + ((uint64_t)added << TABLE_COUNT_SHIFT);
    pte_write(hold->entry, (pte_t){raw | flags});
    go_on(port_cpu_id(), IDLE); */
    d_step { let_go_of(at, count); is_doing(IDLE) }
}
inline table_lock(x) {
    /*= mm/paging/locks.h: if ((e.raw & TABLE_LOCKED) == 0 && pte_replace(entry, e, locked))
            return e; */
    atomic { (word[x] & LOCKED) == 0 -> d_step { assert(held[(x) / 2] == me && IS_TABLE(word[x])); locked(x) } }
}
/*= mm/paging/locks.h: pte_write(entry, (pte_t){e.raw & ~TABLE_LOCKED}); */
#define TABLE_UNLOCK(x) let_go_of(x, COUNT_OF(word[x]))
