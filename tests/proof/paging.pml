/* Model of the protocol between CPUs of mm/paging/: how the table that an operation holds is found and
 * locked, how those below are, how tables leave the tree, and when their frames are free for others.
 * Checked by Spin over all interleavings of OPS operations on each of CPUS CPUs, from every tree that
 * pages 0, 1 and 2 can make. There are three levels: the root has one slot, tables below have two.
 *
 *     top -> root -> middle -> lowest (pages 0, 1)
 *                           -> lowest (page 2)
 *
 * Each access to an entry, or to the word that says what a CPU does, is one step; what nobody but the
 * CPU may write, as each store asserts, is read together with the next step. What is shown:
 *   - nobody locks, fills, empties or counts in a table that has left the tree;
 *   - no frame is free for others while a CPU may still follow an entry of it or to it, or change one;
 *   - what is found without a lock (LOOKS), and beside it, was not read in a frame that is free; it was so at some
 *     moment of the call;
 *   - who lets go of a table leaves its count exact; and no table is empty then, but the root;
 *   - whoever holds a table is alone: an entry's lock and count are never written by another;
 *   - who keeps operations out (FREEZE) finds no lock taken and nothing on its way;
 *   - nobody waits for ever.
 *
 * Abstractions: what a freed frame has for somebody else can be anything, that is what who reads one
 * is given. Stores are seen at once, and what a CPU caches of an entry is not modelled (walk.pml). Who
 * waits for a lock waits without spinning. A number that grows is one bit, so that a CPU may wait
 * longer than in truth. What comes behind a comment with an equals sign is what it models of that
 * file; test_proofs.py sees that the file still has it.
 *
 * NO_... and the like leave out or move one step; each must make an error appear (test_proofs.py). */
#ifndef CPUS
#define CPUS 2
#endif
#ifndef OPS
#define OPS 1
#endif
#ifndef LOOKS
#define LOOKS 0
#endif
#ifndef FRAMES
#define FRAMES 3 /* tables below the root that there can be at a time */
#endif
#define NOBODY 255
#define BIT(i) (1 << (i))

#include "paging_locks.pml"

/* ---- clearing pages [a, b): unmapping, or what was there may be anything ---- */
/* The slots of a middle table that the pages touch. */
#define FIRST (a / 2)
#define END   ((b - 1) / 2 + 1)
#define COVERS(i) (a <= 2 * (i) && b >= 2 * (i) + 2)

#ifdef NO_LOCKS_BELOW /* as if those that are covered did not matter */
#define IS_LEFT_OUT(i) COVERS(i)
#define IS_ROOT_LEFT_OUT (b - a == 4)
#else
#define IS_LEFT_OUT(i) false
#define IS_ROOT_LEFT_OUT false
#endif
inline look() {
    /*= mm/paging/change.c: if (pte_is_table(e, level)) {
            e = table_lock(&table[i]);
            c->locked++; */
    atomic {
        if
        :: level == 3 && word[ROOT] != 0 ->
           middle = FRAME(word[ROOT]);
           if :: !IS_ROOT_LEFT_OUT -> table_lock(ROOT) :: else fi
        :: level == 2 -> middle = held_frame
        :: else
        fi;
        i = (middle != 0 -> FIRST : END)
    };
    do
    :: atomic { i == END -> i = 0; break }
    :: atomic {
           i < END ->
           if
           :: IS_TABLE(word[SLOT(middle, i)]) && !IS_LEFT_OUT(i) -> table_lock(SLOT(middle, i))
           :: else
           fi;
           i++
       }
    od
}
/* The table goes out of the tree, with all below it. */
inline unhook(x) {
    /*= mm/paging/set.c: pte_write(slot, pte_leave(pte_read(slot)));
    c->tables_leave = true; */
    f = FRAME(word[x]);
    tree = tree & ~BIT(f);
    if
    :: x == ROOT ->
       tree = tree & ~(FRAME(word[SLOT(f, 0)]) != 0 -> BIT(FRAME(word[SLOT(f, 0)])) : 0);
       tree = tree & ~(FRAME(word[SLOT(f, 1)]) != 0 -> BIT(FRAME(word[SLOT(f, 1)])) : 0)
    :: else
    fi;
    f = 0; leaves = true;
    put(x, word[x] | LEAVING)
}
inline clear_page(f, page, count) {
    if
    :: word[SLOT(f, page % 2)] != 0 -> put(SLOT(f, page % 2), 0); count--
    :: else
    fi
}
/* A table in the place of a large page. */
inline split(x) {
    /*= mm/paging/change.c: link.raw |= TABLE_LOCKED | (pte_is_owned(e) ? TABLE_OWNED : 0); */
    /*= mm/paging/change.c: uint64_t old = __atomic_exchange_n(&slot->raw, link.raw, __ATOMIC_ACQ_REL); */
    tree = tree | BIT(pool);
    word[SLOT(pool, 0)] = PAGE; word[SLOT(pool, 1)] = PAGE;
#ifdef NO_LOCK_IN_SPLIT
    put(x, LINK | pool | 2 * COUNT);
#else
    held[pool] = me;
    put(x, LINK | LOCKED | pool | 2 * COUNT);
#endif
    pool = 0
}
/* A slot of the middle table, which has n slots in use. */
inline clear_slot(x) {
#ifdef LARGE
    if
    :: d_step { word[x] == PAGE && !COVERS(i) -> split(x) }
    :: word[x] != PAGE || COVERS(i)
    fi;
#endif
    d_step {
        if
        :: word[x] == 0
        :: word[x] == PAGE -> put(x, 0); n--
        :: IS_TABLE(word[x]) && COVERS(i) -> unhook(x); n--
        :: IS_TABLE(word[x]) && !COVERS(i) -> /* of two pages it is one */
           lowest = FRAME(word[x]); k = COUNT_OF(word[x]); p = (a > 2 * i -> a : 2 * i);
           clear_page(lowest, p, k)
        fi
    };
    /*= mm/paging/set.c: if (table_count(e) + added == 0 && (e.raw & TABLE_PINNED) == 0) {
        unhook(c, slot, va);
        return -1;
    }
    table_add(slot, added, c->flags); */
    if
    :: d_step {
           lowest != 0 ->
           if
           :: k == 0 -> unhook(x); n--
           :: else -> put(x, LINK | LOCKED | lowest | k * COUNT)
           fi;
           lowest = 0; k = 0; p = 0
       }
    :: lowest == 0
    fi
}
inline clear_slots() {
    i = FIRST;
    do
    :: i == END -> break
    :: i < END -> clear_slot(SLOT(middle, i)); i++
    od;
    i = 0
}
/* n: the slots in use of the table that is held. */
inline replace() {
    n = COUNT_OF(seen);
    if
    :: level == 1 -> d_step { clear_page(held_frame, a, n) }
    :: level == 2 -> clear_slots()
    :: level == 3 && middle != 0 && b - a == 4 -> d_step { unhook(ROOT); n = 0 }
    :: level == 3 && middle != 0 && b - a < 4 ->
       n = COUNT_OF(word[ROOT]);
       clear_slots();
       d_step {
           if
           :: n == 0 -> unhook(ROOT)
           :: else -> put(ROOT, LINK | LOCKED | middle | n * COUNT); n = 1
           fi
       }
    :: level == 3 && middle == 0
    fi
}
inline let_go_slots() {
    i = FIRST;
    do
    :: i == END -> break
    :: d_step {
           i < END ->
           if
           :: word[SLOT(middle, i)] & LEAVING ->
              bin = bin | BIT(FRAME(word[SLOT(middle, i)])); put(SLOT(middle, i), 0)
           :: IS_TABLE(word[SLOT(middle, i)]) -> TABLE_UNLOCK(SLOT(middle, i))
           :: word[SLOT(middle, i)] == 0 || word[SLOT(middle, i)] == PAGE
           fi;
           i++
       }
    od;
    i = 0
}
inline let_go() {
    /*= mm/paging/change.c: if (pte_is_leaving(e)) {
            pte_write(&table[i], c->final);
            if (pte_is_table(before, level))
                bin_add_tree(&c->bin, before, level - 1); */
    if
    :: d_step {
           level == 3 && (word[ROOT] & LEAVING) ->
           bin = BIT(middle);
           if :: FRAME(word[SLOT(middle, 0)]) -> bin = bin | BIT(FRAME(word[SLOT(middle, 0)])) :: else fi;
           if :: FRAME(word[SLOT(middle, 1)]) -> bin = bin | BIT(FRAME(word[SLOT(middle, 1)])) :: else fi;
#ifndef LATE_FINAL
           put(ROOT, 0)
#endif
       }
    :: middle != 0 && !(level == 3 && (word[ROOT] & LEAVING)) ->
       let_go_slots();
       /*= mm/paging/change.c: let_go(c, e, level - 1, part_in(p, i, level));
            table_unlock(&table[i]); */
       if :: d_step { level == 3 -> TABLE_UNLOCK(ROOT) } :: level < 3 fi
    :: middle == 0
    fi
}
inline bin_empty() {
    /*= mm/paging/pool.c: __atomic_fetch_add(&bin->space->changes, 1, __ATOMIC_SEQ_CST);
    pmm_free_batch(bin->frames, bin->count); */
    if
    :: bin != 0 ->
#ifndef NO_CHANGES
#ifndef LATE_CHANGES
       changes++;
#endif
#endif
       d_step {
           /* Nobody is on the way to them or in them, holds one or waits for one. */
           c = 0;
           do :: c < CPUS -> assert((path[c] & bin) == 0); c++ :: else -> break od;
           assert((tree & bin) == 0);
           c = 1;
           do
           :: c > FRAMES -> break
           :: c <= FRAMES && (bin & BIT(c)) ->
              assert(held[c] == me || held[c] == NOBODY);
              held[c] = NOBODY; word[SLOT(c, 0)] = 0; word[SLOT(c, 1)] = 0; c++
           :: else -> c++
           od;
           c = 0;
           if :: reading & bin -> lost = 1 :: else fi;
           allocated = allocated & ~bin
       };
#ifdef LATE_CHANGES
       changes++;
#endif
       bin = 0
    :: else
    fi
}
inline clear() {
    hold_range();
    look();
    if
    :: d_step {
           /*= mm/paging/change.c: status = pool_fill(&c->pool, c->splits); */
           middle != 0 && word[SLOT(middle, FIRST)] == PAGE && !COVERS(FIRST) ->
           pool = 1;
           do :: allocated & BIT(pool) -> pool++ :: else -> break od;
           if :: pool > FRAMES -> pool = 0; fails = true :: else -> allocated = allocated | BIT(pool) fi
       }
    :: middle == 0 || word[SLOT(middle, FIRST)] != PAGE || COVERS(FIRST)
    fi;
    if
    :: !fails ->
       replace();
       /*= mm/paging/change.c: change_flush(c);
    let_go(c, h->seen, h->level, h->part);
    bin_empty(&c->bin);
    count_tables(h->space, -c->bin.total);
    hold_release(h, added, c->flags); */
#ifndef NO_WAIT
       /*= mm/paging/change.c: if (c->tables_leave)
        wait_for_walkers(); */
       if :: leaves -> wait_for_all(ON_WAY) :: else fi;
#endif
       let_go();
       bin_empty();
#ifdef LATE_FINAL
       if :: level == 3 && (word[ROOT] & LEAVING) -> d_step { put(ROOT, 0) } :: else fi
#endif
    :: pool == 0 ->
       n = COUNT_OF(seen);
       /*= mm/paging/change.c: let_go(c, c->hold.seen, c->hold.level, c->hold.part);
    hold_release(&c->hold, 0, 0); */
       let_go() /* no memory: nothing has changed */
    fi;
    hold_release(n);
    fails = false; leaves = false
}

/* ---- folding the table of pages [a, b) into a large page ---- */
inline merge() {
    hold_range();
    look();
    atomic {
        if
        :: middle != 0 && IS_TABLE(word[SLOT(middle, 0)]) && COUNT_OF(word[SLOT(middle, 0)]) == 2 ->
           /*= mm/paging/merge.c: pte_write(&table[i], (pte_t){page | used_in(child_of(e))});
        m->folded[m->count++] = (struct folded){&table[i], e}; */
           bin = BIT(FRAME(word[SLOT(middle, 0)]));
           tree = tree & ~bin;
           put(SLOT(middle, 0), PAGE)
        :: else
        fi
    };
    /*= mm/paging/merge.c: m->change.tables_leave = true;
    change_flush(&m->change); */
#ifndef NO_WAIT_IN_MERGE
    if :: bin != 0 -> wait_for_all(ON_WAY) :: else fi;
#endif
    /*= mm/paging/merge.c: bin_add(&m->change.bin, pte_table(f->was)); */
    let_go();
    bin_empty();
    n = COUNT_OF(seen);
    hold_release(n)
}

/* ---- mapping page a ---- */
/* A new table for it, complete; in it one that has the page, if it is a middle one. */
inline build(x, two) {
    /*= mm/paging/map.c: uint64_t count = fill(w, table, level, p, base, true);
    pte_t e = pte_make_table(frame, base, count); */
    /*= mm/paging/map.c: pte_write(&table[i], build(w, level - 1, inside, va)); */
    d_step {
        f = 1;
        do :: allocated & BIT(f) -> f++ :: else -> break od;
        if
        :: f > FRAMES -> fails = true
        :: else ->
           k = f;
           word[SLOT(f, a % 2)] = PAGE; /* of a middle one with a large page, too: the first */
           if
           :: two ->
              k++;
              do :: allocated & BIT(k) -> k++ :: else -> break od;
              if
              :: k > FRAMES -> fails = true; word[SLOT(f, a % 2)] = 0
              :: else -> word[SLOT(k, a / 2)] = LINK | f | COUNT
              fi
           :: else
           fi
        fi;
        if
        :: !fails ->
           allocated = allocated | BIT(f) | BIT(k);
           tree = tree | BIT(f) | BIT(k);
           put(x, LINK | k | COUNT)
        :: else
        fi;
        f = 0; k = 0
    }
}
inline map_page(f) {
    if
    :: word[SLOT(f, a % 2)] != 0 -> fails = true
    :: else -> put(SLOT(f, a % 2), PAGE)
    fi
}
/* In the middle table, which has n slots in use. A lowest one has come there since it was looked for, or
 * there is none. */
inline map_slot(x) {
    if
#ifdef LARGE
    :: d_step { b - a == 2 -> if :: word[x] == 0 -> put(x, PAGE); n++ :: else -> fails = true fi }
#endif
    :: atomic { word[x] == 0 && b - a == 1 -> build(x, false); n = n + !fails }
    :: atomic { IS_TABLE(word[x]) && b - a == 1 -> table_lock(x) };
       d_step { map_page(FRAME(word[x])) };
       /*= mm/paging/map.c: pte_write(&table[i], (pte_t){raw | w->change.flags}); */
       d_step { let_go_of(x, SLOTS_USED(FRAME(word[x]))) }
    fi
}
inline map() {
    hold_range();
    n = COUNT_OF(seen);
    if
    :: d_step { level == 1 && b - a == 1 -> map_page(held_frame); n = n + !fails }
    :: level == 1 && b - a == 2 -> fails = true /* it is not empty */
    :: level == 2 -> map_slot(SLOT(held_frame, a / 2))
    :: atomic { level == 3 && word[ROOT] == 0 -> build(ROOT, b - a == 1); n = n + !fails }
       /* Else, with one slot, there would be another count. */
    fi;
    hold_release(n);
    fails = false
}

/* One of six operations from 'op' on. */
inline choose() { do :: op < 5 -> op++ :: break od }

proctype cpu(byte me; byte op) {
    byte ops, a, b, at, seen, level, e, f, c, first, i, k, n, p, middle, lowest, held_frame, bin, pool;
    bool won, clears, merges, leaves, fails;
    do
    :: ops < OPS ->
       atomic {
           ops++;
           if
#ifdef LARGE
           :: op == 0 -> b = 2
           :: op == 1 -> b = 2; merges = true
#else
           :: op == 0 -> b = 1
           :: op == 1 -> a = 1; b = 4; clears = true
#endif
           :: op == 2 -> a = 2; b = 3
           :: op == 3 -> b = 1; clears = true
           :: op == 4 -> b = 2; clears = true
           :: op == 5 -> b = 4; clears = true
           fi
       };
       if
       :: clears -> clear()
#ifdef LARGE
       :: merges -> merge()
#endif
       :: !clears && !merges -> map()
       fi;
       atomic {
           clears = false; merges = false;
           a = 0; b = 0; at = 0; seen = 0; level = 0; n = 0; middle = 0; held_frame = 0; op = 0;
           if :: ops < OPS -> choose() :: else -> break fi
       }
    od;
    finished++
}

#if LOOKS
/* ---- finding page 0 without a lock ---- */
inline read_slot(x) {
    /*= mm/paging/query.c: pte_t e = read_slot(slot);
        if (has_changed(space, out->changes))
            return false;
        if (before)
            e = pte_before(e); */
    d_step {
        bad = lost; /* what is read there can be anything */
        e = BEFORE(word[x]);
        if
        :: !bad && (e & LINK) -> assert(allocated & BIT(FRAME(e))); reading = BIT(FRAME(e)); table = FRAME(e)
        :: else /* it may look beside */
        fi
    };
#ifndef NO_LOOK_AT_CHANGES
    if :: changes != before -> goto again :: else -> assert(!bad) fi
#else
    assert(!bad)
#endif
}
inline look_up() {
    d_step { was_page = 0; was_empty = 0; note() };
again:
    atomic { before = changes; lost = 0; reading = 0 };
    read_slot(ROOT);
    if :: e & LINK -> read_slot(SLOT(table, 0)) :: else fi;
    if :: e & LINK -> read_slot(SLOT(table, 0)) :: else fi;
    d_step {
        if :: e == PAGE -> assert(was_page) :: e == 0 -> assert(was_empty) fi;
        was_page = 0; was_empty = 0
    };
    /*= mm/paging/query.c: beside.e = pte_before(read_slot(beside.slot));
        if (!has_changed(space, f->changes) && !pte_is_table(beside.e, f->level)) { */
    bad = lost;
#ifndef NO_LOOK_BESIDE
    assert(changes != before || !bad);
#else
    assert(!bad);
#endif
    d_step { e = 0; before = 0; reading = 0; lost = 0; table = 0; bad = 0 }
}
proctype reader() {
    byte e, before, table;
    bool bad;
    look_up()
#if LOOKS > 1
    ; look_up()
#endif
}
#endif

/* ---- when all is quiet ---- */
inline check_table(f) {
    if
    :: tree & BIT(f) ->
       assert(held[f] == NOBODY);
       assert(!((word[SLOT(f, 0)] | word[SLOT(f, 1)]) & (LEAVING | LOCKED)))
    :: else
    fi
}
inline check() {
    /* All that is in use is in the tree, and what is there is what is led to, with the right counts. */
    d_step {
        check_table(0); check_table(1); check_table(2); check_table(3);
        assert(tree == allocated + 1);
        assert(COUNT_OF(word[TOP]) == (word[ROOT] != 0));
        e = 1;
        if
        :: word[ROOT] != 0 ->
           assert(COUNT_OF(word[ROOT]) == SLOTS_USED(MIDDLE));
           e = e | BIT(MIDDLE);
           c = 0;
           do
           :: c == 2 -> break
           :: c < 2 && word[SLOT(MIDDLE, c)] != 0 ->
              if
              :: IS_TABLE(word[SLOT(MIDDLE, c)]) ->
                 assert(COUNT_OF(word[SLOT(MIDDLE, c)]) == SLOTS_USED(FRAME(word[SLOT(MIDDLE, c)])));
                 e = e | BIT(FRAME(word[SLOT(MIDDLE, c)]))
              :: else
              fi;
              c++
           :: else -> c++
           od
        :: else
        fi;
        assert(e == tree);
        e = 0; c = 0
    }
}

#ifdef FREEZE
proctype freezer() {
    byte me = NOBODY, c, first, e;
    /*= mm/paging/locks.c: while (__atomic_exchange_n(&space->frozen, 1, __ATOMIC_SEQ_CST) != 0)
        port_relax();
    wait_for_all(ON_WAY | BUSY); */
    frozen = 1;
#ifdef FREEZE_WALKERS
    wait_for_all(ON_WAY);
#else
    wait_for_all(ON_WAY | BUSY);
#endif
    check();
    frozen = 0
}
#endif

init {
    byte c, e, op;
    atomic {
        held[0] = NOBODY; held[1] = NOBODY; held[2] = NOBODY; held[3] = NOBODY;
        if :: word[SLOT(2, 0)] = PAGE :: skip fi;
        if :: word[SLOT(2, 1)] = PAGE :: skip fi;
        if :: word[SLOT(3, 0)] = PAGE :: skip fi;
#ifdef LARGE
        if :: word[SLOT(1, 0)] = PAGE; word[SLOT(2, 0)] = 0; word[SLOT(2, 1)] = 0 :: skip fi;
#endif
        if :: SLOTS_USED(2) -> word[SLOT(1, 0)] = LINK | 2 | SLOTS_USED(2) * COUNT; allocated = allocated | BIT(2) :: else fi;
        if :: SLOTS_USED(3) -> word[SLOT(1, 1)] = LINK | 3 | COUNT; allocated = allocated | BIT(3) :: else fi;
        if :: SLOTS_USED(1) -> word[ROOT] = LINK | 1 | SLOTS_USED(1) * COUNT; word[TOP] = COUNT; allocated = allocated | BIT(1) :: else fi;
        tree = allocated | 1;
        /* CPUs are alike: the order of their first operations does not matter. */
        choose(); run cpu(0, op);
#if CPUS > 1
        choose(); run cpu(1, op);
#endif
#if CPUS > 2
        choose(); run cpu(2, op);
#endif
        op = 0;
#if LOOKS
        run reader();
#endif
#ifdef FREEZE
        run freezer();
#endif
    }
    finished == CPUS && _nr_pr == 1;
    check()
}
