/* SPDX-License-Identifier: MIT */
/*
 * Commit, durable point, takeover, poison, recovery and close of docs/DURABILITY.md; the names of the
 * steps (W.., P.., T.., Q.., R..) are those of that page and of lib/txn. docs/MODEL.md tells what is
 * abstracted, which bounds are run, and what each mutation (NO_..., and others named there) shows.
 *
 * The file: pages and two meta slots, each with what the page cache holds, what the disk holds and
 * whether it waits for a flush. A snapshot is a number; it has a root page and a leaf page, which it
 * wrote itself or shares with the one before. A page's content is the number of the txn that wrote it;
 * 0 is torn. Checksums and tags are taken to be right: content and expected number are compared.
 *
 * Who: user 0 commits, user 1 calls kv_env_sync, both may open, close and die; the viewer may not write
 * to the file, opens, reads, dies. `fate` kills, stops the machine, drops clean pages of the page cache.
 */
#ifndef TX
#define TX 3 /* write txns */
#endif
#ifndef SYNCS
#define SYNCS 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef FAILS
#define FAILS 0 /* flushes that fail */
#endif
#ifndef CLOSES
#define CLOSES 0
#endif
#ifndef VIEWS
#define VIEWS 0 /* read txns */
#endif
#ifndef LOSSES
#define LOSSES 0 /* lock files deleted while nobody lives */
#endif
#define ONE_FLUSH 2 /* P4: an unsealed snapshot has at most so many new pages */

#define WORDS (TX + 2) /* 1 is the snapshot of a new database */
#define PAGES (2 * (TX + 1))
#define BIT(n) (1 << (n))
#define GENERATION(txnid) ((txnid) >> 4)
#define RAISE(txnid) ((txnid) + 16)

/* What each snapshot is: written once, when its pages are. */
byte root[WORDS], leaf[WORDS], leaf_by[WORDS], txnid[WORDS];
short claims[WORDS];  /* pages */
byte history[WORDS];  /* it and those that it was built on */
byte next = 2;        /* the next snapshot's number */

/* The file. */
byte cache[PAGES], disk[PAGES];
short dirty;
short stale; /* lost by a failed flush: not dirty, and the disk has something else */
byte meta[2], base[2];           /* page cache; meta 0: torn */
byte disk_meta[2], disk_base[2]; /* disk */
bool meta_dirty[2];

/* The lock file: lib/txn/shared.h. Checksums of slots are pairs of snapshot and base. */
byte committed, visible, durable, slot_word[2], slot_sum[2], slot_sum_base[2], slot_txnid[2];
byte announced, announcement, poison, txnid_last, unflushed;
bool ready;

/* Locks: 0 free, else who + 1. Lives: byte locks of process slots. */
byte lock_opening, lock_writer, lock_flush;
bool alive[3], kill[3];
byte pin; /* the viewer's reader slot */

/* What must hold is told by these, which no step looks at. */
byte promised = 1; /* newest snapshot that was promised to be durable */
byte shown = 2;    /* snapshots that were visible: one bit each */

byte syncs = SYNCS, deaths = DEATHS, stops = STOPS, fails = FAILS, closes = CLOSES;
byte views = VIEWS, losses = LOSSES;
byte i, j; /* inside atomic steps only */

#define SOUND(w) (cache[root[w]] == (w))
#define WHOLE(w) (SOUND(w) && cache[leaf[w]] == leaf_by[w])
#define DESCENDS(w, from) ((history[w] & BIT(from)) != 0)
#define SEALED(s) (base[s] == 0 || base[s] == txnid[meta[s]])
#define SLOT_KNOWN(s) (meta[s] == slot_sum[s] && base[s] == slot_sum_base[s])
#define OTHERS(me) ((alive[0] && me != 0) || (alive[1] && me != 1) || (alive[2] && me != 2))

/* ---- The file ---- */

/* Content x to page p. What waited there may have reached the disk before. */
inline write_page(p, x)
{
    if
    :: cache[p] != x ->
        assert(pin == 0 || !(claims[pin] & BIT(p))); /* D2: a reader's page is not written over */
        if
        :: dirty & BIT(p) -> disk[p] = cache[p]
        :: true
        fi
    :: else
    fi;
    cache[p] = x;
    stale = stale & ~BIT(p);
    if
    :: disk[p] != x -> dirty = dirty | BIT(p)
    :: else -> dirty = dirty & ~BIT(p)
    fi
}

inline write_meta(s, w, b)
{
    if
    :: meta_dirty[s] && (meta[s] != w || base[s] != b) -> disk_meta[s] = meta[s]; disk_base[s] = base[s]
    :: true
    fi;
    meta[s] = w;
    base[s] = b;
    meta_dirty[s] = (disk_meta[s] != w || disk_base[s] != b)
}

inline land_meta(s)
{
    disk_meta[s] = meta[s];
    disk_base[s] = base[s]
}

/* fdatasync: all that waits, or an error and any part of it; after an error nothing waits any more. */
inline flush()
{
    atomic {
        if
        :: d_step {
            for (i : 0 .. PAGES - 1) {
                if
                :: dirty & BIT(i) -> disk[i] = cache[i]
                :: else
                fi
            }
            land_meta(0);
            land_meta(1);
            i = 0;
            rc = 0
        }
        :: fails > 0 ->
            fails--;
            for (i : 0 .. PAGES - 1) {
                if
                :: dirty & BIT(i) -> disk[i] = cache[i]
                :: dirty & BIT(i) -> stale = stale | BIT(i)
                :: else
                fi
            }
            for (i : 0 .. 1) {
                if
                :: meta_dirty[i] -> land_meta(i)
                :: meta_dirty[i] -> disk_meta[i] = 0; disk_base[i] = 0
                :: true
                fi
            }
            i = 0;
            rc = 1
        fi;
        dirty = 0;
        meta_dirty[0] = false;
        meta_dirty[1] = false
    }
}

/* Walk of `newer` against `over` (0: none): whole, and 2 if the base is damaged. Writes again. */
#define NEW_ROOT(newer, over) (txnid[newer] > txnid[over])
#define OLD_LEAF(newer, over) ((over) != 0 && (claims[over] & BIT(leaf[newer])))

inline walk(newer, over, rewrite, result)
{
    if
    :: (over) != 0 && !SOUND(over) -> result = 2
    :: else ->
        if
        :: !SOUND(newer) || ((over) != 0 && txnid[newer] <= txnid[over]) -> result = 0
        :: else ->
            if
            :: OLD_LEAF(newer, over) -> result = 1
            :: else -> result = (cache[leaf[newer]] == leaf_by[newer])
            fi;
#ifndef NO_REWRITE
            if
            :: rewrite && result == 1 ->
                write_page(root[newer], newer);
                if
                :: !OLD_LEAF(newer, over) -> write_page(leaf[newer], leaf_by[newer])
                :: else
                fi
            :: else
            fi
#endif
        fi
    fi
}

/* ---- What must hold ---- */

inline promise(w)
{
    assert(DESCENDS(w, promised) || DESCENDS(promised, w));
    if
    :: DESCENDS(w, promised) -> promised = w
    :: else
    fi
}

inline show_it(w)
{
    visible = w;
    shown = shown | BIT(w)
}

/* ---- Small steps that several share ---- */

inline announcement_clear()
{
    announced = 0;
    announcement = 0
}

/* kvi_visible_advance() */
inline visible_advance(w)
{
    do
    :: atomic {
        seen = visible;
        if
        :: seen == w -> seen = 0; break
        :: else
        fi };
        atomic {
            if
            :: seen != 0 && SOUND(seen) && txnid[seen] >= txnid[w] && visible == seen -> seen = 0; break
            :: else
            fi };
        atomic {
            if
            :: visible == seen -> show_it(w); seen = 0; break
            :: else
            fi }
    od
}

/* kvi_slot_publish() */
inline slot_publish(s, w, b)
{
    atomic { slot_sum[s] = w; slot_sum_base[s] = b };
    slot_txnid[s] = txnid[w];
    slot_word[s] = w
}

/* cover_slot(): D once more to Y, flush, D over X, flush. T3, T4; Q2. */
inline cover_slot(x, d)
{
    assert(meta[1 - x] == d); /* kvi_slot_expect */
    rc = 0;
#ifndef NO_COVER
    atomic { write_meta(1 - x, meta[1 - x], base[1 - x]) };
    flush();
    if
    :: rc == 0 -> atomic { write_meta(x, d, 0) };
        flush()
    :: else
    fi
#endif
}

/* An unsealed meta promises recovery that few pages are new. */
inline check_bound()
{
    for (i : 2 .. WORDS - 1) {
        if
        :: bb != txnid[ss] && DESCENDS(ss, i) && !DESCENDS(dd, i) -> j = j + 1 + (leaf_by[i] == i)
        :: else
        fi
    }
    assert(j <= ONE_FLUSH);
    i = 0;
    j = 0
}

/* ---- 5. A durable point ---- */

inline make_point(writer_held)
{
    do
    :: atomic { /* P2 */
            dd = durable;
            ss = committed;
            if
            :: ss != dd ->
                y = (dd != slot_word[0]);
                assert(slot_word[y] == dd);
                x = 1 - y;
                unsure = false;
                if
                :: slot_word[x] == dd ->
                    assert(meta[0] == dd && meta[1] == dd); /* the slots were changed by others */
                    x = (!SEALED(0) || base[1] == 0);
                    unsure = (base[0] == base[1])
                :: else
                fi;
                y = 0
            :: else
            fi
        };
        if
        :: ss == dd -> announcement_clear(); rc = 0; break
        :: else
        fi;
#ifndef NO_ANNOUNCE
        announced = ss; /* P3 */
        announcement = x + 1;
#endif
        pages = unflushed;
#ifdef NO_RECHECK
        break
#else
        if
        :: committed == ss -> break
        :: else
        fi
#endif
    od;
    if
    :: ss == dd
    :: else ->
        if
        :: !SOUND(ss) -> announcement_clear(); rc = 1 /* kvi_snapshot_load */
        :: else ->
            bb = slot_txnid[1 - x];
            assert(bb != 0 && bb < txnid[ss]);
            rc = 0;
#ifndef NO_FLUSH_FIRST
            if
            :: unsure || pages > ONE_FLUSH -> /* P4 */
                bb = txnid[ss];
                if
                :: unsure -> atomic { write_meta(1 - x, meta[1 - x], base[1 - x]) }
                :: else
                fi;
                flush()
            :: else
            fi;
#else
            if
            :: unsure || pages > ONE_FLUSH -> bb = txnid[ss]
            :: else
            fi;
#endif
            if
            :: rc == 0 -> atomic { check_bound(); write_meta(x, ss, bb) }; /* P5 */
#ifndef NO_FLUSH
                flush() /* P6 */
#endif
            :: else
            fi;
            if
            :: rc != 0 -> /* Q1 */
#ifndef NO_POISON
                poison = 1
#else
                announcement_clear()
#endif
            :: else -> /* P7 */
#ifdef CLEAR_EARLY
                announcement_clear();
#endif
                slot_publish(x, ss, bb);
                durable = ss;
                visible_advance(ss);
#ifdef COUNT_EARLY
                unflushed = 0;
#else
                if
                :: writer_held && committed == ss -> unflushed = 0
                :: else
                fi;
#endif
                announcement_clear()
            fi
        fi
    fi;
    atomic { dd = 0; ss = 0; x = 0; y = 0; bb = 0; pages = 0; unsure = false }
}

/* ---- 6. Takeover ---- */

inline takeover()
{
    atomic {
        dd = durable;
        x = announcement - 1;
        assert(slot_word[0] == dd || slot_word[1] == dd)
    };
    if
    :: slot_word[x] == dd && slot_word[1 - x] != dd -> /* T1 */
        visible_advance(dd);
        announcement_clear();
        rc = 0
    :: else ->
        assert(meta[1 - x] == dd);
        whole = 1;
        if
        :: committed != dd -> atomic { walk(committed, dd, true, whole) } /* T2 */
        :: else
        fi;
        if
        :: whole != 1 -> rc = 1
        :: else ->
#ifdef NO_TAKEOVER_REWRITE
            rc = 0;
#else
            cover_slot(x, dd);
#endif
        fi;
        if
        :: rc != 0 -> poison = 1
        :: else -> /* T5 */
            slot_publish(x, dd, 0);
            announcement_clear()
        fi
    fi;
    atomic { dd = 0; x = 0; whole = 0 }
}

/* kvi_durable_point() */
inline durable_point(w)
{
    atomic { lock_flush == 0 -> lock_flush = me + 1 };
    rc = 0;
    if
    :: poison != 0 -> rc = 1 /* P1 */
    :: else ->
        if
        :: durable != w && announcement != 0 -> takeover()
        :: else
        fi;
        if
        :: rc == 0 && durable != w -> make_point(true)
        :: else
        fi
    fi;
    lock_flush = 0
}

/* ---- 8. Recovery ---- */

inline judge_shared()
{
    vouched = false;
    settled = false;
    if
    :: durable != 0 && poison != 1 &&
        (SLOT_KNOWN(0) ||
         (announcement == 1 && meta[0] != 0 && (meta[0] == announced || meta[0] == durable))) &&
        (SLOT_KNOWN(1) ||
         (announcement == 2 && meta[1] != 0 && (meta[1] == announced || meta[1] == durable))) &&
        (durable == meta[0] || durable == meta[1]) ->
        vouched = true;
        y = (durable != meta[0]);
        if
        :: announcement == y + 1 && durable == meta[1 - y] -> y = 1 - y
        :: else
        fi;
        settled = (poison == 0 && durable == committed && announcement == 0)
    :: else
    fi
}

/* kvi_slots_clean(): of a file without a lock file's word. */
#define SLOTS_CLEAN \
    (meta[0] != 0 && meta[0] == meta[1] && base[0] != 0 && base[1] != 0 && (SEALED(0) || SEALED(1)))

/* R2 and R3: ss the chosen one, x its slot, 2: none. */
inline choose(may_write)
{
    ss = 0;
    lost = 0;
    if
    :: settled -> x = y; ss = meta[x]
    :: else ->
        if
        :: vouched && committed != 0 && committed != meta[0] && committed != meta[1] -> /* R2 */
            lost = txnid_last;
            if
            :: SOUND(committed) && txnid[committed] > txnid[meta[y]] &&
                !(meta[1 - y] != 0 && txnid[meta[1 - y]] > txnid[committed]) ->
                walk(committed, meta[y], may_write, whole);
                if
                :: whole == 1 -> ss = committed; x = 2; lost = 0
                :: else
                fi
            :: else
            fi
        :: else
        fi;
        if
        :: ss == 0 -> /* R3 */
            assert(meta[0] != 0 || meta[1] != 0); /* R1: it opens */
            if
            :: meta[0] != 0 && meta[1] != 0 ->
                assert(txnid[meta[0]] != txnid[meta[1]] || meta[0] == meta[1]);
                x = (txnid[meta[1]] > txnid[meta[0]]);
                whole = 1;
                if
                :: !SEALED(x) && base[x] == txnid[meta[1 - x]] ->
#ifndef NO_WALK
                    walk(meta[x], meta[1 - x], may_write, whole)
#endif
                :: else
                fi;
                if
                :: whole == 2 -> walk(meta[x], 0, may_write, whole); assert(whole == 1)
                :: whole == 0 ->
                    if
                    :: lost < txnid[meta[x]] -> lost = txnid[meta[x]]
                    :: else
                    fi;
                    x = 1 - x
                :: else
                fi
            :: else -> x = (meta[1] != 0)
            fi;
            ss = meta[x]
        :: else
        fi
    fi;
    whole = 0;
    assert(SOUND(ss));                /* R4 */
    assert(WHOLE(ss));                /* nothing partial */
    assert(DESCENDS(ss, promised));   /* nothing lost */
}

/* make_true(). first: by an opener, and not when it was pending. */
inline make_true(first)
{
    if
    :: first && x != 2 -> ready = false
    :: else
    fi;
    for (yy : 0 .. 1) {
        if
        :: meta[yy] == ss -> atomic { write_meta(yy, meta[yy], base[yy]) }
        :: else
        fi
    }
    yy = 0;
    flush(); /* R5 */
    if
    :: rc != 0 -> ready = (first -> false : ready)
    :: else ->
        yy = (x == 2 -> 1 - y : 1 - x);
        if
        :: meta[yy] != ss -> /* R6 */
            atomic { write_meta(yy, ss, 0) };
            ready = (first -> false : ready);
#ifndef NO_COVER_FLUSH
            flush()
#endif
        :: else
        fi;
        yy = 0
    fi
}

/* txnid_last_of() */
inline set_txnid_last(first, trust)
{
    bb = (txnid[ss] > lost -> txnid[ss] : lost);
    if
    :: meta[0] != 0 && txnid[meta[0]] > bb -> bb = txnid[meta[0]]
    :: else
    fi;
    if
    :: meta[1] != 0 && txnid[meta[1]] > bb -> bb = txnid[meta[1]]
    :: else
    fi;
    if
    :: (vouched || !first) && txnid_last > bb -> bb = txnid_last
    :: else
    fi;
#ifndef NO_GENERATION
    if
    :: settled || !first || SLOTS_CLEAN
    :: else -> bb = RAISE(bb)
    fi;
#endif
    txnid_last = bb;
    bb = 0
}

/* set_shared(): R7. */
inline set_shared(first, trust, done)
{
#ifndef PENDING_LAST
    if
    :: !done -> poison = 2
    :: else
    fi;
#endif
    atomic { set_txnid_last(first, trust) };
    for (yy : 0 .. 1) {
        slot_publish(yy, meta[yy], base[yy])
    }
    yy = 0;
    durable = (x == 2 && !done -> meta[y] : ss);
    committed = ss;
#ifdef PENDING_SHOWS
    atomic { show_it(ss) };
#else
    visible = ss;
#endif
    unflushed = 0;
    announcement_clear();
    poison = (done -> 0 : 2)
}

/* kvi_recover_run(). The slots do not change while it runs but by itself. */
inline recover(first, trust, able)
{
    atomic {
        vouched = false;
        settled = false;
        if
        :: trust -> judge_shared()
        :: else
        fi;
        clean = (settled || (!(trust) && SLOTS_CLEAN));
        able = able && !clean;
        choose(able)
    };
    rc = 0;
    if
    :: able -> make_true(first)
    :: else
    fi;
    if
    :: rc == 0 -> set_shared(first, trust, (clean || able))
    :: else
    fi;
    atomic { ss = 0; x = 0; y = 0; lost = 0; vouched = false; settled = false; clean = false; able = false }
}

/* ---- 7. The end of poison ---- */

inline go_back()
{
    atomic {
        dd = durable;
        y = (dd != slot_word[0]);
        assert(slot_word[y] == dd);
        if
        :: announcement != 0 && slot_word[2 - announcement] == dd -> y = 2 - announcement
        :: else
        fi;
        x = 1 - y;
        y = 0
    };
    cover_slot(x, dd); /* Q2 */
    if
    :: rc == 0 -> /* Q3 */
        assert(DESCENDS(dd, promised));
        if
        :: GENERATION(txnid_last) <= GENERATION(txnid[dd]) -> txnid_last = RAISE(txnid_last)
        :: else
        fi;
        slot_publish(x, dd, 0);
        committed = dd;
        visible = dd;
        unflushed = 0;
        announcement_clear();
        poison = 0
    :: else
    fi;
    atomic { dd = 0; x = 0 }
}

/* kvi_poison_end(), writer lock held. */
inline poison_end()
{
    rc = 0;
    if
    :: poison != 0 ->
        atomic { lock_flush == 0 -> lock_flush = me + 1 };
        if
        :: poison == 2 -> able = true; recover(false, true, able)
        :: poison == 1 -> go_back()
        :: else
        fi;
        lock_flush = 0
    :: else
    fi
}

/* ---- Opening and the last close ---- */

inline open_env(can)
{
    atomic { lock_opening == 0 -> lock_opening = me + 1; alive[me] = true };
    rc = 0;
    if
    :: !OTHERS(me) ->
        atomic {
            trust = ready;
            if
            :: losses > 0 -> losses--; trust = false
            :: true
            fi;
            if
            :: !trust -> forget_lock_file()
            :: else
            fi;
            able = can
        };
        recover(true, trust, able)
    :: else
    fi;
    if
    :: rc == 0 -> ready = true
    :: else -> alive[me] = false
    fi;
    trust = false;
    lock_opening = 0
}

inline forget_lock_file()
{
    committed = 0; visible = 0; durable = 0; announced = 0; announcement = 0; poison = 0;
    slot_word[0] = 0; slot_word[1] = 0; slot_sum[0] = 0; slot_sum[1] = 0;
    slot_sum_base[0] = 0; slot_sum_base[1] = 0; slot_txnid[0] = 0; slot_txnid[1] = 0;
    txnid_last = 0; unflushed = 0; ready = false
}

/* kvi_durable_first() */
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define DURABLE_FIRST \
    (slot_txnid[0] == slot_txnid[1] || \
     GENERATION(MAX(slot_txnid[0], slot_txnid[1])) != GENERATION(txnid_last))

/* seal() of the last close. */
inline seal()
{
    atomic { lock_flush == 0 -> lock_flush = me + 1 };
    dd = durable;
    x = (dd == slot_word[0]);
    rc = 0;
    if
    :: slot_word[x] == dd || DURABLE_FIRST
    :: else ->
        assert(meta[1 - x] == dd);
        atomic { write_meta(x, dd, txnid[dd]) };
        flush();
        if
        :: rc != 0 -> poison = 1
        :: else -> slot_publish(x, dd, txnid[dd])
        fi
    fi;
    atomic { dd = 0; x = 0 };
    lock_flush = 0
}

inline close_env()
{
    atomic { lock_opening == 0 -> lock_opening = me + 1 };
    if
    :: !OTHERS(me) ->
        atomic { lock_writer == 0 -> lock_writer = me + 1 };
        poison_end();
        if
        :: rc == 0 -> ww = committed; durable_point(ww)
        :: else
        fi;
        if
        :: rc == 0 -> promise(ww); seal()
        :: else
        fi;
        if
        :: rc == 0 -> ready = false
        :: else
        fi;
        ww = 0;
        lock_writer = 0
    :: else
    fi;
    alive[me] = false;
    lock_opening = 0
}

/* ---- 4. A write txn ---- */

/* W2: loads of the shared words one by one, then the reader slot. */
inline load_live(w)
{
    live = live | claims[w]
}

inline collect_live()
{
#ifndef ANNOUNCED_LAST
    load_live(announced);
#endif
    load_live(slot_word[0]);
#ifndef NO_SLOTS_LIVE
    load_live(slot_word[1]);
#endif
    load_live(durable);
    load_live(visible);
    load_live(committed);
#ifdef ANNOUNCED_LAST
    load_live(announced);
#endif
#ifndef NO_READERS_LIVE
    load_live(pin)
#endif
}

/* The place of a new page, to k. A hostile allocator: where it may choose, it takes a page that some
 * meta, in the cache or on the disk, or a reader still names. */
inline allocate(k)
{
    j = 255;
    for (i : 0 .. PAGES - 1) {
        if
        :: !(live & BIT(i)) && !(claims[ww] & BIT(i)) ->
            if
            :: j == 255 ||
                ((claims[meta[0]] | claims[meta[1]] | claims[disk_meta[0]] | claims[disk_meta[1]] |
                  claims[pin] | claims[durable] | claims[announced] | claims[committed]) & BIT(i)) -> j = i
            :: else
            fi
        :: else
        fi
    }
    assert(j != 255);
    k = j;
    claims[ww] = claims[ww] | BIT(k);
    i = 0;
    j = 0
}

/* W3, W4: a root, and with or without a new leaf. */
inline write_snapshot()
{
    txnid[ww] = txnid_last;
    allocate(root[ww]);
    if
    :: allocate(leaf[ww]); leaf_by[ww] = ww; added = 2
    :: leaf[ww] = leaf[bb]; leaf_by[ww] = leaf_by[bb]; added = 1
    fi;
    history[ww] = history[bb] | BIT(ww);
    write_page(root[ww], ww);
    if
    :: added == 2 -> write_page(leaf[ww], ww)
    :: else
    fi;
    claims[ww] = BIT(root[ww]) | BIT(leaf[ww]);
    live = 0;
    bb = 0
}

#ifdef LAZY
#define LAZY_WANT 0
#else
#define LAZY_WANT 2
#endif

inline commit_txn()
{
    atomic { lock_writer == 0 -> lock_writer = me + 1; ww = next; next++ }; /* W1 */
    poison_end();
    bb = committed;
    if
    :: rc != 0 || !SOUND(bb)
    :: else ->
        collect_live(); /* W2 */
        atomic {
            assert(txnid_last >= txnid[bb]);
            txnid_last++;
            for (i : 1 .. WORDS - 1) {
                assert(!(shown & BIT(i)) || txnid[i] != txnid_last) /* D10 */
            }
            i = 0
        };
        atomic { write_snapshot() };
        atomic {
            want = 2; /* 2 durable, 1 lazy and due, 0 lazy */
            if
            :: !DURABLE_FIRST -> want = LAZY_WANT
#ifdef NO_DURABLE_FIRST
            :: DURABLE_FIRST -> want = LAZY_WANT
#endif
            :: true
            fi
        };
        unflushed = unflushed + added; /* W5 */
        atomic { added = 0; committed = ww };
        if
        :: want != 2 -> atomic { show_it(ww) } /* W6 */
        :: else
        fi;
        if
        :: want == 2 || want == 1 ->
            durable_point(ww);
            if
            :: want == 2 && rc == 0 -> promise(ww)
            :: else
            fi
        :: else
        fi
    fi;
    atomic { ww = 0; bb = 0; want = 0; live = 0; rc = 0 };
    lock_writer = 0
}

/* ---- kv_env_sync ---- */

inline sync_env()
{
    atomic { lock_flush == 0 -> lock_flush = me + 1; ww = committed };
    rc = 0;
    thoroughly = (announcement != 0 || poison == 2);
    if
    :: poison == 1 -> rc = 1
    :: poison != 1 && !thoroughly && committed != durable -> make_point(false)
    :: else
    fi;
    lock_flush = 0;
    if
    :: rc == 0 && thoroughly ->
        atomic { lock_writer == 0 -> lock_writer = me + 1 };
        poison_end();
        if
        :: rc == 0 -> ww = committed; durable_point(ww)
        :: else
        fi;
        lock_writer = 0
    :: else
    fi;
    if
    :: rc == 0 -> promise(ww)
    :: else
    fi;
    atomic { ww = 0; thoroughly = false; rc = 0 }
}

/* ---- Who ---- */

proctype user(byte me)
{
    byte rc, dd, ss, x, y, yy, bb, pages, seen, whole, lost, ww, want, added;
    bool unsure, vouched, settled, clean, able, trust, thoroughly;
    short live;
end_closed:
    do
    :: {
        if
        :: me == 0 || syncs > 0
        fi;
        open_env(true);
        if
        :: rc != 0
        :: else ->
end_open:
            do
            :: me == 0 && next < WORDS -> commit_txn()
            :: me == 1 && syncs > 0 -> syncs--; sync_env()
            :: closes > 0 -> closes--; close_env(); break
            od
        fi;
        rc = 0
    } unless {
        atomic {
            kill[me] -> kill[me] = false;
            rc = 0; dd = 0; ss = 0; x = 0; y = 0; yy = 0; bb = 0; pages = 0; seen = 0; whole = 0;
            lost = 0; ww = 0; want = 0; added = 0; live = 0;
            unsure = false; vouched = false; settled = false; clean = false; able = false;
            trust = false; thoroughly = false
        }
    }
    od
}

/* A user that cannot write to the file. */
proctype viewer(byte me)
{
    byte rc, ss, x, y, yy, bb, whole, lost;
    bool vouched, settled, clean, able, trust;
end_closed:
    do
    :: {
        views > 0;
        open_env(false);
end_open:
        do
        :: views > 0 && pin == 0 -> atomic { views--; pin = visible };
#ifndef LAZY
            if
            :: poison != 2 -> promise(pin) /* what is seen was durable */
            :: else
            fi
#endif
        :: pin != 0 -> pin = 0
        od
    } unless {
        atomic {
            kill[me] -> kill[me] = false;
            rc = 0; ss = 0; x = 0; y = 0; yy = 0; bb = 0; whole = 0; lost = 0;
            vouched = false; settled = false; clean = false; able = false; trust = false
        }
    }
    od
}

inline end_life(who)
{
    alive[who] = false;
    kill[who] = true;
    if
    :: lock_opening == who + 1 -> lock_opening = 0
    :: else
    fi;
    if
    :: lock_writer == who + 1 -> lock_writer = 0
    :: else
    fi;
    if
    :: lock_flush == who + 1 -> lock_flush = 0
    :: else
    fi;
    if
    :: who == 2 -> pin = 0
    :: else
    fi
}

/* Whether some meta on the disk claims page p with content c. */
#define NAMED(m, p, c) \
    (disk_meta[m] != 0 && ((root[disk_meta[m]] == (p) && disk_meta[m] == (c)) || \
                           (leaf[disk_meta[m]] == (p) && leaf_by[disk_meta[m]] == (c))))
#define MATTERS(p, c) ((c) != 0 && (NAMED(0, p, c) || NAMED(1, p, c)))

/* Of all that waits any part is on the disk. What no meta names there any more is as good as torn. */
inline stop_machine()
{
    for (i : 0 .. 1) {
        if
        :: meta_dirty[i] -> land_meta(i)
        :: meta_dirty[i] -> disk_meta[i] = 0; disk_base[i] = 0
        :: true
        fi;
        meta[i] = disk_meta[i];
        base[i] = disk_base[i];
        meta_dirty[i] = false
    }
    for (i : 0 .. PAGES - 1) {
        if
        :: (dirty & BIT(i)) && MATTERS(i, cache[i]) -> disk[i] = cache[i]
        :: (dirty & BIT(i)) -> disk[i] = 0
        :: !(dirty & BIT(i)) || MATTERS(i, disk[i])
        fi;
        if
        :: !MATTERS(i, disk[i]) -> disk[i] = 0
        :: else
        fi;
        cache[i] = disk[i]
    }
    dirty = 0;
    stale = 0;
    for (i : 0 .. 2) {
        if
        :: alive[i] -> end_life(i)
        :: else
        fi
    }
    i = 0;
    forget_lock_file()
}

inline drop_meta(s)
{
    meta[s] = disk_meta[s];
    base[s] = disk_base[s]
}

proctype fate()
{
    byte p;
end:
    do
    :: atomic { deaths > 0 && alive[0] -> deaths--; end_life(0) }
    :: atomic { deaths > 0 && alive[1] -> deaths--; end_life(1) }
    :: atomic { deaths > 0 && alive[2] -> deaths--; end_life(2) }
    :: atomic { stops > 0 -> stops--; stop_machine() }
#if FAILS > 0
    /* A clean page of the cache is read from the disk anew. */
    :: atomic {
        stale != 0 ->
        do
        :: (stale & BIT(p)) -> cache[p] = disk[p]; stale = stale & ~BIT(p); break
        :: !(stale & BIT(p)) || (stale >> (p + 1)) -> p++
        od;
        p = 0 }
    :: atomic { !meta_dirty[0] && (meta[0] != disk_meta[0] || base[0] != disk_base[0]) -> drop_meta(0) }
    :: atomic { !meta_dirty[1] && (meta[1] != disk_meta[1] || base[1] != disk_base[1]) -> drop_meta(1) }
#endif
    od
}

init {
    atomic {
        root[1] = 0; leaf[1] = 1; leaf_by[1] = 1; txnid[1] = 1; claims[1] = 3; history[1] = 2;
        cache[0] = 1; cache[1] = 1; disk[0] = 1; disk[1] = 1;
        meta[0] = 1; meta[1] = 1; base[0] = 1; base[1] = 1;
        disk_meta[0] = 1; disk_meta[1] = 1; disk_base[0] = 1; disk_base[1] = 1;
        run user(0);
#if SYNCS > 0
        run user(1);
#endif
#if VIEWS > 0
        run viewer(2);
#endif
        run fate()
    }
}
