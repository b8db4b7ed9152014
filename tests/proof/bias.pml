/* Model of the biased lock that guards a CPU's slots, on x86 with its store buffers (TSO): plain
 * stores of a CPU go into its buffer and reach memory later, in order; its own loads see them at
 * once. A locked instruction waits for the buffer to be empty. The heavy barrier of a thief empties
 * the buffers of all others, each at some moment of its own during the barrier.
 *
 * Every CPU uses its own slot and steals those of others, OPS times in all. What is shown:
 *   - never two are inside the same slot, and whoever enters sees all that was written in it;
 *   - nobody waits for ever.
 *
 * Abstractions: a slot is one counter; a CPU that finds itself stolen from waits without spinning.
 * IRQS_OFF: the barrier is an interrupt, that is, it waits while a CPU is inside.
 *
 * NO_... leave out one step; each must make an error appear (test_proofs.py). */
#ifndef CPUS
#define CPUS 2
#endif
#ifndef OPS
#define OPS 2
#endif

/* Memory: busy[v] at BUSY(v), steal[v] at STEAL(v), the counter of slot v at SLOT(v). */
#define BUSY(v)  (v)
#define STEAL(v) (CPUS + (v))
#define SLOT(v)  (2 * CPUS + (v))
byte memory[3 * CPUS];

/* The store buffer of each CPU: the oldest store first. */
#define DEPTH 3
byte pending[CPUS];
byte where[CPUS * DEPTH];
byte what[CPUS * DEPTH];

/* Ghosts. */
byte inside[CPUS];  /* how many are in the slot */
byte changes[CPUS]; /* what its counter must be */
byte finished = 0;
bit in_section[CPUS]; /* between busy = 1 and busy = 0 */

inline store(a, v) {
    atomic {
        pending[me] < DEPTH ->
        where[me * DEPTH + pending[me]] = a;
        what[me * DEPTH + pending[me]] = v;
        pending[me]++
    }
}
/* The youngest own store to a, else memory. */
inline load(a, into) {
    d_step {
        into = memory[a];
        i = 0;
        do
        :: i < pending[me] -> if :: where[me * DEPTH + i] == a -> into = what[me * DEPTH + i] :: else fi; i++
        :: else -> break
        od;
        i = 0
    }
}
/* The moment in which the CPU's buffer is empty; what empties it is drain(). */
#define FENCED(c) (pending[c] == 0)

proctype drain(byte me) {
    byte i;
end:
    do
    :: d_step {
           pending[me] > 0 ->
           memory[where[me * DEPTH]] = what[me * DEPTH];
           i = 1;
           do
           :: i < DEPTH -> where[me * DEPTH + i - 1] = where[me * DEPTH + i];
                           what[me * DEPTH + i - 1] = what[me * DEPTH + i]; i++
           :: else -> break
           od;
           where[me * DEPTH + DEPTH - 1] = 0; what[me * DEPTH + DEPTH - 1] = 0;
           pending[me]--; i = 0
       }
    od
}

inline use(v) {
    atomic { inside[v]++; assert(inside[v] == 1) };
    load(SLOT(v), x);
    assert(x == changes[v]);
    atomic { store(SLOT(v), x + 1); changes[v]++ };
    atomic { inside[v]--; x = 0 }
}

inline use_own() {
    do
    ::
#ifdef NO_BUSY_FIRST
       load(STEAL(me), x);
       store(BUSY(me), 1);
#else
       store(BUSY(me), 1);
       in_section[me] = 1;
#ifdef OWNER_FENCE
       FENCED(me);
#endif
       load(STEAL(me), x);
#endif
       if
       :: x == 0 -> break
       :: else ->
#ifndef NO_STEP_BACK
          store(BUSY(me), 0);
#endif
          in_section[me] = 0;
          memory[STEAL(me)] == 0
       fi
    od;
    use(me);
    store(BUSY(me), 0);
    in_section[me] = 0
}

inline steal_from(v) {
#ifdef STEAL_INSIDE
    store(BUSY(me), 1);
#endif
#ifdef NO_CAS
    memory[STEAL(v)] == 0;
    FENCED(me); memory[STEAL(v)] = 1;
#else
    atomic { FENCED(me) && memory[STEAL(v)] == 0 -> memory[STEAL(v)] = 1 };
#endif
#ifndef NO_BARRIER
    c = 0;
    do
    :: c < CPUS && c == me -> c++
    :: c < CPUS && c != me ->
#ifdef IRQS_OFF
       !in_section[c] && FENCED(c);
#else
       FENCED(c);
#endif
       c++
    :: c == CPUS -> break
    od;
    c = 0;
#endif
#ifndef NO_WAIT
    memory[BUSY(v)] == 0;
#endif
    use(v);
    store(STEAL(v), 0);
#ifdef STEAL_INSIDE
    store(BUSY(me), 0);
#endif
}

proctype cpu(byte me) {
    byte ops, x, i, c;
    do
    :: ops < OPS ->
       ops++;
       if
       :: use_own()
       :: steal_from((me + 1) % CPUS)
#if CPUS > 2
       :: steal_from((me + 2) % CPUS)
#endif
       fi
    :: else -> break
    od;
    finished++
}

init {
    atomic {
        run cpu(0); run drain(0);
        run cpu(1); run drain(1);
#if CPUS > 2
        run cpu(2); run drain(2);
#endif
    }
    finished == CPUS
}
