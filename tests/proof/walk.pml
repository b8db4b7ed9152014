/* Model of the barriers of mm/paging/, on x86 with its store buffers (TSO, as in bias.pml): a table goes out
 * of the tree while CPUs are on their way to it without a lock (locks.c), and while one begins or ceases
 * to use the space and its MMU caches what it walks (change_flush, space.c). With FREEZE instead: one
 * keeps all others out of the tables. What is shown:
 *   - when the table's frame is freed no CPU can come to it any more, nor has its MMU kept the way;
 *   - whoever has kept others out finds no lock taken, and nobody takes one before it lets them in;
 *   - nobody waits for ever.
 * What happens in the tree is in paging.pml, where stores are seen at once: an operation has barriers
 * where it begins and takes locks, and what it has in its buffer at the end says only that it is over.
 *
 * Abstractions: one table, to which one entry leads, and in it one entry with a lock; who finds the
 * lock taken lets others go on before it begins again. The shootdown is an interrupt that is answered
 * at once. What stands behind a comment with an equals sign is as in paging.pml.
 *
 * NO_... and the like leave out or move one step; each must make an error appear (test_proofs.py). */
#ifndef TIMES
#define TIMES 2
#endif
#define WALKERS 2
#define OTHER   2 /* the CPU that frees or keeps out */
#define CPUS    3

/* Memory. */
#define DOING(c) (c)
#define ENTRY  3 /* leads to the table */
#define LOCK   4 /* in the table */
#define FROZEN 5
#define END    6 /* no CPU from here on has done anything */
#define SET    7 /* the other CPU that uses the space: there is one */
byte memory[8];

#define IDLE   0
#define BUSY   1
#define ON_WAY 2
#define NUMBER 4

#define LINK    1
#define LEAVING 2

/* The store buffer of each CPU: the oldest store first. */
#define DEPTH 3
byte pending[CPUS];
byte where[CPUS * DEPTH];
byte value[CPUS * DEPTH];

/* Ghosts. */
bit freed = 0;
bit follows[WALKERS]; /* has read the entry that leads to the table */
bit cached = 0;       /* an MMU has */
bit holding = 0;
bit kept_out = 0;
byte finished = 0;

inline store(a, v) {
    atomic {
        pending[me] < DEPTH ->
        where[me * DEPTH + pending[me]] = a;
        value[me * DEPTH + pending[me]] = v;
        pending[me]++
    }
}
#define FENCED (pending[me] == 0)

proctype drain(byte me) {
    byte i;
end:
    do
    :: d_step {
           pending[me] > 0 ->
           memory[where[me * DEPTH]] = value[me * DEPTH];
           i = 1;
           do
           :: i < DEPTH -> where[me * DEPTH + i - 1] = where[me * DEPTH + i];
                           value[me * DEPTH + i - 1] = value[me * DEPTH + i]; i++
           :: else -> break
           od;
           where[me * DEPTH + DEPTH - 1] = 0; value[me * DEPTH + DEPTH - 1] = 0;
           pending[me]--; i = 0
       }
    od
}

/* ---- on the way to a table ---- */
inline raise_end() {
    /*= mm/paging/locks.c: while (end <= cpu && !__atomic_compare_exchange_n(&cpus_end, &end, cpu + 1, false,
                                                      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        ; */
    if
    :: memory[END] <= me -> atomic { FENCED -> if :: memory[END] <= me -> memory[END] = me + 1 :: else fi }
    :: else
    fi
}
inline begin() {
#ifndef LATE_END
    raise_end();
#endif
    number = number ^ NUMBER;
    /*= mm/paging/locks.c: __atomic_exchange_n(&cpus[cpu].doing, (number + NEXT_NUMBER) | ON_WAY, __ATOMIC_SEQ_CST); */
#ifdef NO_BARRIER
    store(DOING(me), number | ON_WAY)
#else
    atomic { FENCED -> memory[DOING(me)] = number | ON_WAY }
#endif
}

proctype walker(byte me) {
    byte times, number;
    bit won;
    do
    :: times < TIMES ->
again: begin();
       /*= mm/paging/locks.c: bool frozen = __atomic_load_n(&space->frozen, __ATOMIC_ACQUIRE) != 0;
        if (!frozen && try_hold(out, va, npages, rule))
            break;
        go_on(cpu, IDLE); */
       if
       :: memory[FROZEN] ->
          store(DOING(me), number | IDLE);
          memory[FROZEN] == 0;
          goto again
       :: else
       fi;
       d_step { if :: memory[ENTRY] == LINK -> follows[me] = 1; assert(!freed) :: else fi };
#ifdef LATE_END
       raise_end();
#endif
       if
       :: !follows[me] /* it holds a larger one */
       :: follows[me] ->
          /*= mm/paging/locks.h: if ((e.raw & TABLE_LOCKED) == 0 && pte_replace(entry, e, locked))
            return e; */
          atomic {
              FENCED ->
              assert(!freed);
              if
              :: memory[LOCK] == 0 -> memory[LOCK] = 1; won = 1; assert(!holding && !kept_out); holding = 1
              :: else
              fi;
              follows[me] = 0
          };
          if
          :: won ->
             store(DOING(me), number | BUSY);
             /*= mm/paging/locks.c: pte_write(hold->entry, (pte_t){raw | flags});
    go_on(port_cpu_id(), IDLE); */
#ifdef LATE_UNLOCK
             store(DOING(me), number | IDLE);
             atomic { store(LOCK, 0); holding = 0; won = 0 }
#else
             atomic { store(LOCK, 0); holding = 0; won = 0 }
#endif
          :: else ->
             store(DOING(me), number | IDLE);
             memory[LOCK] == 0 || memory[ENTRY] != LINK;
             goto again
          fi
       fi;
       store(DOING(me), number | IDLE);
       times++
    :: else -> break
    od;
    finished++
}

/* Until each of the others has been seen doing something else. */
inline wait_for_all(what) {
    /*= mm/paging/locks.c: __atomic_thread_fence(__ATOMIC_SEQ_CST);
    unsigned end = __atomic_load_n(&cpus_end, __ATOMIC_ACQUIRE), self = port_cpu_id(); */
#ifndef NO_FENCE
    FENCED;
#endif
    e = memory[END];
    do
    :: atomic { c == e -> c = 0; e = 0; break }
    :: atomic {
           c < e -> /* it has no number as small itself */
           first = memory[DOING(c)];
           if
           :: first & (what) ->
              (memory[DOING(c)] & (what)) == 0 || (memory[DOING(c)] & NUMBER) != (first & NUMBER)
           :: else
           fi;
           first = 0; c++
       }
    od
}

#ifdef FREEZE
proctype freezer(byte me) {
    byte c, e, first;
    /*= mm/paging/locks.c: while (__atomic_exchange_n(&space->frozen, 1, __ATOMIC_SEQ_CST) != 0)
        port_relax();
    wait_for_all(ON_WAY | BUSY); */
#ifdef NO_FENCE
    store(FROZEN, 1);
#else
    atomic { FENCED && memory[FROZEN] == 0 -> memory[FROZEN] = 1 };
#endif
    wait_for_all(ON_WAY | BUSY);
    atomic { assert(memory[LOCK] == 0); kept_out = 1 };
    /*= mm/paging/locks.c: __atomic_store_n(&space->frozen, 0, __ATOMIC_RELEASE); */
    atomic { kept_out = 0; store(FROZEN, 0) };
    finished++
}
#else
/* It holds the table above. */
proctype freer(byte me) {
    byte c, e, first;
    /*= mm/paging/change.c: e = table_lock(&table[i]); */
    atomic { FENCED && memory[LOCK] == 0 -> memory[LOCK] = 1; holding = 1 };
    /*= mm/paging/set.c: pte_write(slot, pte_leave(pte_read(slot))); */
    store(ENTRY, LEAVING);
    /*= mm/paging/change.c: __atomic_thread_fence(__ATOMIC_SEQ_CST);
        struct cpu_set cpus = cpu_set_copy(&space->cpus);
        c->stale.root = space->root;
        if (cpu_set_next(&cpus, 0) < CONFIG_CPUS_MAX)
            port_tlb_shootdown(&cpus, &c->stale); */
#ifndef NO_FENCE
    FENCED;
#endif
#ifndef NO_FLUSH
    if :: memory[SET] -> cached = 0 :: else fi;
#endif
    /*= mm/paging/change.c: if (c->tables_leave)
        wait_for_walkers(); */
    wait_for_all(ON_WAY);
    /*= mm/paging/change.c: pte_write(&table[i], c->final); */
    store(ENTRY, 0);
    /*= mm/paging/pool.c: __atomic_fetch_add(&bin->space->changes, 1, __ATOMIC_SEQ_CST);
    pmm_free_batch(bin->frames, bin->count); */
    atomic {
        FENCED ->
        assert(!follows[0] && !follows[1] && !cached);
        freed = 1
    };
    finished++
}
/* A CPU uses the space for a while. */
proctype user() {
    /*= mm/paging/space.c: cpu_set_add(&space->cpus, cpu); */
    /*= mm/paging/space.c: cpu_set_add(&upper->cpus, cpu);
    port_set_root(space->root); */
#ifdef LATE_ADD
    d_step { if :: memory[ENTRY] == LINK -> assert(!freed); cached = 1 :: else fi };
    memory[SET] = 1;
#else
    memory[SET] = 1;
    do
    :: d_step { if :: memory[ENTRY] == LINK -> assert(!freed); cached = 1 :: else fi }
    :: break
    od;
#endif
    /*= mm/paging/space.c: if (loaded[cpu] == NULL || upper_of(loaded[cpu]) != upper)
        port_tlb_flush_all();
    if (loaded[cpu] != space)
        forget_loaded(cpu); */
#ifdef REMOVE_FIRST
    memory[SET] = 0;
    cached = 0
#else
    cached = 0;
    memory[SET] = 0
#endif
}
#endif

init {
    atomic {
        memory[ENTRY] = LINK;
        run walker(0); run drain(0);
        run walker(1); run drain(1);
#ifdef FREEZE
        run freezer(OTHER);
#else
        run freer(OTHER);
        run user();
#endif
        run drain(OTHER);
    }
    finished == WALKERS + 1
}
