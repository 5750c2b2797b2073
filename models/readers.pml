/* SPDX-License-Identifier: MIT */
/*
 * Pin against scan: a reader pins the newest visible snapshot while a writer works out which pages
 * it may write over, a flusher makes snapshots visible, and owners of reader slots die. Follows
 * lib/txn/readers.c, readers_find.c, live.c; step names of docs/DURABILITY.md (W2, P2, P3, P7) and the
 * rules of docs/LOCKFILE.md section 5.
 *
 * Memory: each store of a reader slot goes through a queue of its process and reaches the others at
 * any later moment, in order (x86-TSO, which is also what release stores promise elsewhere). A fence
 * and a compare-and-swap wait until the own queue is empty; a process's queue is empty when the kernel
 * gives its locks free. The shared words are seq_cst atomics in the code: their stores are seen at
 * once. Loads of one process happen in its order: all are acquire loads or stand behind a fence.
 *
 * Snapshots are numbers from 1; `gone` has those whose pages may have been written over. Bounds:
 * SNAPS snapshots, 2 readers on SLOTS slots, LIVES lives of them together, PINS pins of each life,
 * DEATHS kills.
 *
 * Mutations, each of which must be found: NO_FENCE (R: the pin's fence), NO_LOOK (the second look at
 * `visible`), SLOTS_FIRST (W2: slots before the words), ANNOUNCED_LAST, NO_ANNOUNCE, NO_RECHECK (P3: is S
 * still the newest), OWNER_FIRST (scan: owner before word), WORD_AFTER_OWNER (clear and release:
 * owner stored before the word), CLEAR_LIVING (nobody asks whether the owner lives).
 * OWNER_FIRST (scan: owner before word) is none: the swap that clears fails if the owner changed.
 */
#ifndef SNAPS
#define SNAPS 4
#endif
#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef LIVES
#define LIVES 3
#endif
#ifndef DEATHS
#define DEATHS 2
#endif
#ifndef PINS
#define PINS 2
#endif

#define BIT(n) (1 << (n))

/* Owner words: life << 2 + state; 0 free. Life 1 is the writer's, which is not killed here. */
#define BUSY 1
#define IDLE 2
#define CLEARING 3
#define OWNER(life, state) ((life) << 2 | (state))

byte committed = 1, visible = 1, durable = 1, announced = 0;
byte word[SLOTS];
byte owner[SLOTS];
byte gone = 0;
short living = 2; /* bit per life */
byte lives = 2;   /* next life's number */
bool writing = true;
bool kill[3];       /* set by fate for readers 1 and 2 */
byte deaths = DEATHS;

/* Queues of stores: by process (0 writer, 1 and 2 readers). An entry: slot << 1 + 1 for `owner`, value. */
chan queue0 = [3] of { byte, byte };
chan queue1 = [3] of { byte, byte };
chan queue2 = [3] of { byte, byte };

inline land(place, value)
{
    if
    :: (place & 1) -> owner[place >> 1] = value
    :: else -> word[place >> 1] = value
    fi;
    place = 0;
    value = 0
}

/* The machine: any queue's first store reaches the others. */
active proctype memory()
{
    byte place, value;
end:
    do
    :: atomic { queue0?place, value -> land(place, value) }
    :: atomic { queue1?place, value -> land(place, value) }
    :: atomic { queue2?place, value -> land(place, value) }
    od
}

/* kvi_readers_clear(), after the swap: the two stores. */
inline clear_stores(queue, s, to)
{
#ifdef WORD_AFTER_OWNER
    queue!(s << 1 | 1), to;
    queue!(s << 1), 0
#else
    queue!(s << 1), 0;
    queue!(s << 1 | 1), to
#endif
}

#ifdef CLEAR_LIVING
#define DEAD(life) true
#else
#define DEAD(life) (!(living & BIT(life)))
#endif

/* Compare and swap of owner[s] from `seen`: waits until the own queue is empty. */
inline swap(queue, s, to)
{
    atomic {
        empty(queue);
        if
        :: owner[s] == seen -> owner[s] = to; mine = true
        :: else -> mine = false
        fi
    }
}

/* Readers' claim: own idle, free, a dead owner's; another's idle one. */
inline claim()
{
    atomic {
        mine = false;
#if SLOTS > 1
        select(s : 0..(SLOTS - 1));
#endif
        seen = owner[s]
    };
    if
    :: (seen & 3) == IDLE -> swap(queue, s, OWNER(life, BUSY))
    :: seen == 0 || ((seen & 3) != IDLE && (seen >> 2) != life && DEAD(seen >> 2)) ->
        swap(queue, s, OWNER(life, CLEARING));
        if
        :: mine -> clear_stores(queue, s, OWNER(life, BUSY))
        :: else
        fi
    :: else
    fi
}

/* Pin, read, unpin, release. */
inline read_txn()
{
    do
    :: seen = visible;
        queue!(s << 1), seen;
#ifndef NO_FENCE
        empty(queue);
#endif
#ifndef NO_LOOK
        if
        :: visible == seen -> break
        :: else
        fi
#else
        break
#endif
    od;
    assert(!(gone & BIT(seen)));
    assert(!(gone & BIT(seen)));
    queue!(s << 1), 0;
    queue!(s << 1 | 1), OWNER(life, IDLE)
}

proctype reader(byte me; chan queue)
{
    byte life, s, seen, pins;
    bool mine;
end:
    do
    :: atomic { lives < LIVES + 2 -> life = lives; lives++; living = living | BIT(life) };
        {
            do
            :: pins < PINS ->
                pins++;
                claim();
                if
                :: mine -> read_txn()
                :: else /* no slot: KV_EREADERS */
                fi
            :: break
            od
        } unless { kill[me] };
        /* The end, or death: the kernel gives the life's byte free. A slot stays as it was. */
        atomic {
            empty(queue) -> living = living & ~BIT(life);
            kill[me] = false;
            life = 0; s = 0; seen = 0; pins = 0; mine = false
        }
    od
}

proctype fate()
{
end:
    do
    :: atomic { deaths > 0 -> deaths--;
        if
        :: kill[1] = true
        :: kill[2] = true
        fi }
    od
}

/* kvi_reader_scan(). */
inline scan()
{
    for (s : 0 .. SLOTS - 1) {
        do
        ::
#ifdef OWNER_FIRST
            seen = owner[s];
            pinned = word[s];
#else
            pinned = word[s];
            seen = owner[s];
#endif
            if
            :: pinned == 0 -> break
            :: pinned != 0 && !DEAD(seen >> 2) -> live = live | BIT(pinned); break
            :: pinned != 0 && DEAD(seen >> 2) ->
                swap(queue0, s, OWNER(1, CLEARING));
                if
                :: mine -> clear_stores(queue0, s, 0); break
                :: else
                fi
            fi
        od;
        pinned = 0;
        seen = 0;
        mine = false
    }
    s = 0
}

/* W2, then a commit of a snapshot that is not flushed: visible by the flusher. */
proctype writer()
{
    byte live, seen, pinned, s;
    bool mine;
    do
    :: committed < SNAPS ->
#ifndef ANNOUNCED_LAST
        live = live | BIT(announced);
#endif
#ifdef SLOTS_FIRST
        scan();
#endif
        live = live | BIT(durable);
        live = live | BIT(visible);
        live = live | BIT(committed);
#ifdef ANNOUNCED_LAST
        live = live | BIT(announced);
#endif
#ifndef SLOTS_FIRST
        scan();
#endif
        /* W3, W4: everything that is not in the live set may be written over. */
        atomic { gone = gone | (~live & (BIT(committed + 1) - 1)); live = 0 };
        committed++ /* W5 */
    :: else -> break
    od;
    writing = false
}

/* P2, P3, P6, P7. `durable` stands for the slots as well. */
proctype flusher()
{
    byte s;
    do
    :: committed > durable ->
        s = committed; /* P2 */
#ifndef NO_ANNOUNCE
        announced = s; /* P3 */
#endif
#ifndef NO_RECHECK
        if
        :: committed == s
        :: else -> s = 0
        fi;
#endif
        if
        :: s != 0 ->
            assert(!(gone & BIT(s))); /* P5: the meta names it */
            durable = s; /* P7 */
            assert(!(gone & BIT(s)));
            visible = s;
            announced = 0
        :: else
        fi;
        s = 0
    :: !writing && committed == durable -> break
    od
}

init {
    atomic {
        run writer();
        run flusher();
        run reader(1, queue1);
        run reader(2, queue2);
        run fate()
    }
}
