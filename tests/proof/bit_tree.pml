/* Model of mm/pmm/bit_tree.c between CPUs: words of 2 bits, three levels, so 8 numbers; CPUs add and
 * remove the numbers 0, 1 (one word) and 2 (another word below the same word above), OPS times each.
 *
 * Each access to a word is one step. What is shown: when all is quiet every level says exactly which
 * words of the level below have a bit, and of two CPUs that add or remove a number exactly one is
 * told that it did.
 *
 * Abstractions: more than 3 numbers are the same again. NO_... leave out one step; each must make an
 * error appear (test_proofs.py). */
#ifndef CPUS
#define CPUS 3
#endif
#ifndef OPS
#define OPS 2
#endif
#define BIT(i) (1 << (i))

byte zero[4]; /* level 0: word w has the numbers 2 * w, 2 * w + 1 */
byte one[2];  /* level 1 */
byte two[1];  /* level 2, the highest */

byte members[3]; /* ghost: how often added less how often removed */
byte finished = 0;

/* Word w of level 0 became empty or non-empty: the bit above is made to say so. Whoever writes that
 * bit looks at the word afterwards, so that the last one to write it leaves it right. */
inline settle_zero(w) {
    turned = false;
    filled = (zero[w] != 0);
    do
    :: atomic {
           old = one[(w) / 2];
           one[(w) / 2] = (filled -> old | BIT((w) % 2) : old & ~BIT((w) % 2));
           turned = turned || (filled -> old == 0 : old == BIT((w) % 2))
       };
#ifdef NO_LOOK_AFTER_SET
       if :: filled -> break :: else fi;
#endif
#ifdef NO_LOOK_AFTER_CLEAR
       if :: !filled -> break :: else fi;
#endif
       if :: (zero[w] != 0) == filled -> break
          :: else -> filled = !filled
       fi
    od;
    if :: turned -> settle_one((w) / 2) :: else fi
}
inline settle_one(w) {
    filled = (one[w] != 0);
    do
    :: two[0] = (filled -> two[0] | BIT(w) : two[0] & ~BIT(w));
#ifdef NO_LOOK_AFTER_ABOVE
       break;
#endif
       if :: (one[w] != 0) == filled -> break
          :: else -> filled = !filled
       fi
    od
}

inline add(i) {
    d_step {
        old = zero[(i) / 2]; zero[(i) / 2] = old | BIT((i) % 2);
        if :: !(old & BIT((i) % 2)) -> members[i]++ :: else fi;
        assert(members[i] == 1)
    };
    if :: old == 0 -> settle_zero((i) / 2) :: else fi
}
inline remove(i) {
    d_step {
        old = zero[(i) / 2]; zero[(i) / 2] = old & ~BIT((i) % 2);
        if :: old & BIT((i) % 2) -> members[i]-- :: else fi;
        assert(members[i] == 0); left = zero[(i) / 2]
    };
    if :: old != 0 && left == 0 -> settle_zero((i) / 2) :: else fi
}

proctype cpu(byte me) {
    byte ops, old, left;
    bool filled, turned;
    do
    :: ops < OPS ->
       ops++;
       if
       :: add(0) :: add(1) :: add(2)
       :: remove(0) :: remove(1) :: remove(2)
       fi;
       atomic { old = 0; left = 0; filled = 0; turned = 0 }
    :: else -> break
    od;
    finished++
}

init {
    atomic {
        /* Any set to begin with. */
        if :: zero[0] = zero[0] | 1; members[0] = 1 :: skip fi;
        if :: zero[0] = zero[0] | 2; members[1] = 1 :: skip fi;
        if :: zero[1] = zero[1] | 1; members[2] = 1 :: skip fi;
        one[0] = (zero[0] != 0) + 2 * (zero[1] != 0);
        two[0] = (one[0] != 0);
        run cpu(0); run cpu(1);
#if CPUS > 2
        run cpu(2)
#endif
    };
    finished == CPUS;
    d_step {
        assert(zero[0] == members[0] + 2 * members[1] && zero[1] == members[2]);
        assert(one[0] == (zero[0] != 0) + 2 * (zero[1] != 0));
        assert(two[0] == (one[0] != 0))
    }
}
