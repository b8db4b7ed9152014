/* Model of pages that spaces share until one writes: paging_exchange, paging_clone and the release of
 * frames (mm/paging/exchange.c, clone.c, set.c), with who counts the mappings (mm/vmm/shares.c) and who
 * resolves a fault (mm/vmm/populate.c).
 *
 * One page of each of three spaces: 0, 1, and 2, which is made as a copy of 0. All frames are of one block,
 * so that there is one record or none. At the same time two CPUs write the page of space 0, one copies that space
 * and then writes the page of the copy, and one unmaps the page of space 0 or 1 and lets it be filled
 * again. From every first state: shared or not, with a record or without. What is shown:
 *   - a page that can be written, by its entry or by what a CPU has cached, is in no other space;
 *   - nobody writes a frame that is being copied;
 *   - a frame is freed once, when no entry leads to it and no CPU has it cached, and none is lost;
 *   - when all is quiet, the number that is written down for a frame is that of its mappings: of one
 *     mapping 0 or 1, of none 0;
 *   - nobody waits for ever.
 *
 * Abstractions: a space is one table with a lock; a record's lock is held in one step; the cached
 * entry is one, of any CPU, which can be loaded at any time; nothing is a 2 MiB page, so that whole is
 * always 0. Stores are seen at once: what there is to see is written under the lock of the space, and
 * a record by a compare-and-exchange before the entries that depend on it. What stands behind a
 * comment with an equals sign is as in paging.pml.
 *
 * NO_... and the like leave out or move one step; each must make an error appear (test_proofs.py). */
#define SPACES 3
#define FRAMES 4
#define NONE 255

/* An entry: a frame and these; or 0. */
#define FRAME(e) ((e) & 3)
#define PRESENT  4
#define COPY     8
#define WRITABLE 16
#define LEAVING  32
byte entry[SPACES];
bit lock[SPACES];
bit there[SPACES]; /* the space can be used */

bit record = 0;
byte sum[FRAMES];

/* What a CPU has cached: 0 or an entry, of a space. */
byte cached = 0;
byte cached_of = 0;

/* Ghosts. */
bit allocated[FRAMES];
byte copying[FRAMES];
byte looked = 0;
byte finished = 0;

#define LEADS_TO(s, f) (there[s] && entry[s] != 0 && FRAME(entry[s]) == (f))
#define WRITES(e)      (((e) & (PRESENT | WRITABLE)) == (PRESENT | WRITABLE))
/* Nobody else has what s can write by this entry. */
#define ALONE(e, s, t) (!WRITES(e) || (s) == (t) || !LEADS_TO(t, FRAME(e)))
#define ALONE_ALL(e, s) (ALONE(e, s, 0) && ALONE(e, s, 1) && ALONE(e, s, 2) && \
                         (!WRITES(e) || copying[FRAME(e)] == 0))
#define SAFE ((!there[0] || ALONE_ALL(entry[0], 0)) && (!there[1] || ALONE_ALL(entry[1], 1)) && \
              (!there[2] || ALONE_ALL(entry[2], 2)) && ALONE_ALL(cached, cached_of))

/* Under the lock. */
inline put(s, e) { entry[s] = e; assert(SAFE) }
/* What stays cached for ever is what one did not have to load. */
inline flush(s) { if :: cached_of == s -> cached = 0; cached_of = 0 :: else fi }
inline hold(s) { !lock[s] -> lock[s] = 1 }
inline let_go(s) { lock[s] = 0 }

inline alloc(f) {
    d_step {
        f = 0;
        do :: f < FRAMES && allocated[f] -> f++ :: else -> break od;
        if :: f < FRAMES -> allocated[f] = 1 :: else -> f = NONE fi
    }
}
inline free(f) {
    d_step {
        assert(allocated[f]);
        assert(!LEADS_TO(0, f) && !LEADS_TO(1, f) && !LEADS_TO(2, f));
        assert(cached == 0 || FRAME(cached) != f);
        assert(copying[f] == 0);
        allocated[f] = 0
    }
}

/* ---- shares.c ---- */
inline shares_add(f) {
    /*= mm/vmm/shares.c: while (status == MM_OK && walk(block_of(pa), &slot, &level) == NULL)
        status = fill_slot(slot, level == 0); */
#ifdef NEW_SAYS_ONE
    d_step { if :: !record -> sum[0] = 1; sum[1] = 1; sum[2] = 1; sum[3] = 1 :: else fi; record = 1 };
#else
    record = 1;
#endif
    /*= mm/vmm/shares.c: for (unsigned i = p->first; r->whole == 0 && i < p->first + p->n; i++)
        if (r->part[i] == 0)
            part_raise(r, i); */
    d_step {
#ifndef NO_FIRST_OWNER
        sum[f] = sum[f] + (sum[f] == 0);
#endif
        sum[f]++
    }
}
inline shares_release(f) {
    /*= mm/vmm/shares.c: if (record == NULL) {
            run_add(&run, piece.base, piece.n);
        } else {
            record_release(record, &piece, gone);
            run_add_gone(&run, pa_align_down(piece.base, BLOCK_BYTES), gone);
        } */
    if
    :: !record -> gone = true
    :: record ->
       /*= mm/vmm/shares.c: if (r->part[i] > 0)
            part_lower(r, i); */
       /*= mm/vmm/shares.c: if (r->part[i] > 0)
            gone[i / ROW_FRAMES] &= ~(1ull << i % ROW_FRAMES);
    spin_unlock(&r->lock, irq); */
#ifdef NO_RECORD_LOCK
       now = sum[f] - (sum[f] > 0);
       d_step { sum[f] = now; gone = (now == 0); now = 0 }
#else
       d_step { sum[f] = sum[f] - (sum[f] > 0); gone = (sum[f] == 0) }
#endif
    fi;
    if :: gone -> free(f) :: else fi;
    gone = false
}
/*= mm/vmm/shares.c: alone = r->whole + r->part[i] <= 1; */
/*= mm/vmm/shares.c: if (record != NULL && !record_exclusive(record, &piece))
            return false; */
#define EXCLUSIVE(f) (!record || sum[f] <= 1)

/* ---- populate.c and exchange.c: a write to a page that is COPY ---- */
/* What was expected has been read before. */
inline unshare(s) {
    /*= mm/vmm/fault.c: } else if ((access & VMM_WRITE) != 0 && (m->prot & PROT_COPY) != 0) {
        status = unshare(vm, va, m); */
    if
    :: (expected & PRESENT) && (expected & COPY) ->
       from = FRAME(expected);
       /*= mm/vmm/populate.c: return paging_exchange(&vm->space, base, bytes, m, f.from, prot_meant(m->prot) & ~PROT_COPY,
                           m->cache, is_exclusive, &f); */
#ifdef CONFIRM_BEFORE
       won = EXCLUSIVE(from);
       atomic { hold(s); won = won && entry[s] == expected };
#else
       atomic { hold(s) };
       /*= mm/paging/exchange.c: if (is_expected(pte_read(slot), c.hold.level, va, expected))
        status = pool_fill(&c.pool, c.hold.level - level);
    if (status == MM_OK && confirm != NULL && !confirm(argument)) { */
#ifdef NO_EXPECTED
       won = EXCLUSIVE(from);
#else
#ifdef NO_CONFIRM
       won = (entry[s] == expected);
#else
       won = (entry[s] == expected && EXCLUSIVE(from));
#endif
#endif
#endif
       /* Nothing to flush: it only allows more. */
       d_step { if :: won -> put(s, PRESENT | WRITABLE | from) :: else fi; let_go(s) };
       if
       :: won
       :: else ->
          /*= mm/vmm/populate.c: status = pmm_alloc_frame(&f.to); */
          alloc(to);
          if
          :: to != NONE ->
             /*= mm/vmm/populate.c: status = paging_exchange(&vm->space, page, PAGE_BYTES, m, f.to,
                             prot_meant(m->prot) & ~PROT_COPY, m->cache, copy, &f);
    if (status == MM_OK)
        shares_hooks.release(f.from, 1);
    else
        pmm_free_frame(f.to); */
#ifdef COPY_BEFORE
             copy_frame();
#endif
             atomic { hold(s); won = (entry[s] == expected) };
             if
             :: won ->
#ifndef COPY_BEFORE
                copy_frame();
#endif
#ifdef RELEASE_BEFORE
                shares_release(from);
#endif
                d_step { put(s, PRESENT | WRITABLE | to) };
                /*= mm/paging/exchange.c: if (pte_present(old) && !only_allows_more(old, e))
        tlb_batch_add(&c->stale, va, level_bytes(level)); */
                d_step {
#ifndef NO_FLUSH_IN_EXCHANGE
                    flush(s);
#endif
                    let_go(s)
                };
#ifndef RELEASE_BEFORE
                shares_release(from)
#endif
             :: else -> let_go(s); free(to)
             fi
          :: else
          fi
       fi
    :: else
    fi;
    d_step { expected = 0; from = 0; to = 0; won = false }
}
inline copy_frame() {
    d_step { assert(allocated[from]); copying[from]++; assert(SAFE) };
    d_step { assert(allocated[from]); copying[from]-- }
}

/* ---- clone.c: space 2 becomes what space 0 is ---- */
inline clone() {
#ifdef SHARE_BEFORE
    e = entry[0];
    if :: e & PRESENT -> shares_add(FRAME(e)) :: else fi;
#endif
    /*= mm/paging/clone.c: status = share(&w, end); */
    atomic { hold(0); e = entry[0] };
#ifndef SHARE_BEFORE
#ifndef SHARE_AFTER
    if :: e & PRESENT -> shares_add(FRAME(e)) :: else fi;
#endif
#endif
    /*= mm/paging/clone.c: new.raw = old.raw | PTE_COPY;
        if ((old.raw & PTE_WRITABLE) != 0)
            new.raw ^= PTE_WRITABLE | PTE_MEANT;
    } while (!pte_replace(slot, old, new)); */
    d_step { if :: e & PRESENT -> entry[2] = (e & ~WRITABLE) | COPY; put(0, entry[2]) :: else fi };
    /*= mm/paging/clone.c: if ((old.raw & PTE_WRITABLE) != 0)
        tlb_batch_add(&w->change.stale, va, level_bytes(level)); */
    /*= mm/paging/clone.c: change_end(c, 0); */
    d_step {
#ifndef NO_FLUSH_IN_CLONE
        flush(0);
#endif
        let_go(0)
    };
#ifdef SHARE_AFTER
    if :: e & PRESENT -> shares_add(FRAME(e)) :: else fi;
#endif
    d_step { e = 0; there[2] = 1; assert(SAFE) }
}

/* ---- set.c: an owned page leaves ---- */
inline unmap(s) {
    atomic { hold(s); e = entry[s] };
    if
    :: e != 0 ->
       /*= mm/paging/set.c: pte_write(slot, pte_leave(e));
        c->pages_leave = true; */
       d_step { put(s, (e & ~PRESENT) | LEAVING) };
       /*= mm/paging/change.c: change_flush(c);
    let_go(c, h->seen, h->level, h->part);
    bin_empty(&c->bin); */
       d_step {
#ifndef NO_FLUSH_IN_UNMAP
           flush(s);
#endif
           skip
       };
       d_step { put(s, 0) };
       /*= mm/paging/pool.c: bin->space->hooks->release(bin->run.base, bin->run.nframes); */
       shares_release(FRAME(e))
    :: else
    fi;
    let_go(s);
    e = 0
}
/* A page in the place of a state, as paging_fill does. */
inline populate(s) {
    alloc(to);
    if
    :: to != NONE ->
       /* Nobody else fills it. */
       atomic { hold(s); assert(entry[s] == 0); put(s, PRESENT | WRITABLE | to); let_go(s) }
    :: else
    fi;
    to = 0
}

/* Two are alike: which of them looks first does not matter. */
proctype writer(byte number) {
    byte expected, from, to, now;
    bool won, gone;
    atomic { looked == number -> looked++; expected = entry[0] };
    unshare(0);
    finished++
}
proctype cloner() {
    byte expected, from, to, now, e;
    bool won, gone;
    clone();
    expected = entry[2];
    unshare(2);
    finished++
}
proctype other() {
    byte to, now, e;
    bool gone;
    if
    :: unmap(1); populate(1)
    :: unmap(0); populate(0)
    fi;
    finished++
}
/* Some CPU loads an entry. */
proctype mmu() {
end:
    do
    :: d_step { cached == 0 && finished < 4 && (entry[0] & PRESENT) -> cached = entry[0]; cached_of = 0; assert(SAFE) }
    :: d_step { cached == 0 && finished < 4 && (entry[1] & PRESENT) -> cached = entry[1]; cached_of = 1; assert(SAFE) }
    :: d_step { cached == 0 && finished < 4 && there[2] && (entry[2] & PRESENT) -> cached = entry[2]; cached_of = 2; assert(SAFE) }
    od
}

#define MAPPINGS(f) (LEADS_TO(0, f) + LEADS_TO(1, f) + LEADS_TO(2, f))
init {
    byte f;
    atomic {
        there[0] = 1; there[1] = 1;
        allocated[0] = 1;
        if
#ifndef NEVER_SHARED
        :: /* shared */
           entry[0] = PRESENT | COPY; entry[1] = PRESENT | COPY; record = 1; sum[0] = 2
        :: /* was shared */
           entry[0] = PRESENT | COPY; record = 1; sum[0] = 1
#endif
        :: /* never was, and another page has its own frame in that block */
           entry[0] = PRESENT | WRITABLE; entry[1] = PRESENT | WRITABLE | 1; allocated[1] = 1;
           if :: skip :: record = 1 fi
        fi;
        run writer(0); run writer(1); run cloner(); run other(); run mmu()
    };
    finished == 4;
    d_step {
        f = 0;
        do
        :: f < FRAMES ->
           assert(allocated[f] == (MAPPINGS(f) > 0));
           assert(MAPPINGS(f) != 0 || sum[f] == 0);
           assert(MAPPINGS(f) <= 1 || sum[f] == MAPPINGS(f));
           assert(MAPPINGS(f) != 1 || sum[f] <= 1);
           f++
        :: else -> break
        od
    }
}
