# SPDX-License-Identifier: MIT
"""python3-lmdb at work, as its users use it.

Every check holds with the genuine LMDB library (scripts/test-clients.sh). CLIENT_LIBRARY names the one that
must be in use, the present folder is empty. Ends with the line "N passed, N failed".
"""
import gc
import multiprocessing
import os
import random
import struct
import threading

import lmdb

from checks import check, equal, raises, run_sections, section

MIB = 1 << 20


def number(n):
    return b"%08d" % n


# ---- Environments ----------------------------------------------------------------------------


@section
def library_in_use():
    with open("/proc/self/maps") as maps:
        used = {line.split()[-1] for line in maps if "liblmdb" in line}
    equal("the library under test is in use", used, {os.path.realpath(os.environ["CLIENT_LIBRARY"])})
    equal("version", lmdb.version()[:2], (0, 9))
    equal("the C binding, not cffi", lmdb.Environment.__module__, "builtins")


@section
def files_of_an_environment():
    env = lmdb.open("env")
    equal("folder layout", sorted(os.listdir("env")), ["data.mdb", "lock.mdb"])
    equal("path", env.path(), "env")
    env.close()
    env = lmdb.open("file", subdir=False)
    equal("file layout", sorted(n for n in os.listdir(".") if n.startswith("file")),
          ["file", "file-lock"])
    env.close()
    env = lmdb.open("alone", subdir=False, lock=False)
    env.close()
    check("no lock file with lock=False", not os.path.exists("alone-lock"))
    os.umask(0o022)
    lmdb.open("bits", subdir=False, mode=0o666).close()
    equal("mode less umask", os.stat("bits").st_mode & 0o777, 0o644)
    env.close()
    raises("use after close", lmdb.Error, env.begin)


@section
def opening_what_is_not_there():
    raises("missing file, create=False", lmdb.Error, lmdb.open, "nothing", create=False)
    raises("read-only, missing", lmdb.Error, lmdb.open, "nothing", readonly=True, create=False)
    with open("junk", "wb") as file:
        file.write(os.urandom(20000))
    raises("junk", lmdb.InvalidError, lmdb.open, "junk", subdir=False)
    with open("short", "wb") as file:
        file.write(b"abc")
    raises("three bytes", lmdb.InvalidError, lmdb.open, "short", subdir=False)
    with open("short", "rb") as file:
        equal("which stay as they are", file.read(), b"abc")
    open("empty", "wb").close()
    env = lmdb.open("empty", subdir=False)
    with env.begin(write=True) as txn:
        check("an empty file becomes a database", txn.put(b"a", b"b"))
    env.close()


@section
def figures():
    env = lmdb.open("env", map_size=10 * MIB, max_readers=50, max_dbs=4)
    info = env.info()
    equal("info's fields", sorted(info), ["last_pgno", "last_txnid", "map_addr", "map_size",
                                          "max_readers", "num_readers"])
    equal("map size", info["map_size"], 10 * MIB)
    equal("readers", (info["max_readers"], info["num_readers"]), (50, 1))
    equal("a new one", (info["last_pgno"], info["last_txnid"], info["map_addr"]), (1, 0, 0))
    equal("stat of a new one", env.stat(), {"psize": 4096, "depth": 0, "branch_pages": 0,
                                            "leaf_pages": 0, "overflow_pages": 0, "entries": 0})
    equal("longest key", env.max_key_size(), 511)
    flags = env.flags()
    equal("flags", (flags["subdir"], flags["readonly"], flags["writemap"], flags["lock"]),
          (True, False, False, True))
    for i in range(1, 6):
        with env.begin(write=True) as txn:
            txn.put(number(i), b"x")
            equal("id of a write txn", txn.id(), i)
        equal("a commit is a txnid", env.info()["last_txnid"], i)
    with env.begin(write=True) as txn:
        pass
    equal("an empty one is none", env.info()["last_txnid"], 5)
    with env.begin() as txn:
        equal("id of a read txn", txn.id(), 5)
        equal("entries", txn.stat()["entries"], 5)
        equal("depth", txn.stat()["depth"], 1)
        equal("leaf pages", txn.stat()["leaf_pages"], 1)
    with env.begin(write=True) as txn:
        txn.put(b"long", b"v" * 10000)
    equal("overflow pages", env.stat()["overflow_pages"], 3)
    env.close()
    env = lmdb.open("env")
    equal("the map size is kept", env.info()["map_size"], 10 * MIB)
    env.close()


@section
def read_only():
    lmdb.open("env").close()
    env = lmdb.open("env", readonly=True)
    check("flag", env.flags()["readonly"])
    raises("begin to write", lmdb.ReadonlyError, env.begin, write=True)
    with env.begin() as txn:
        equal("nothing there", txn.get(b"a"), None)
        raises("put in a read txn", lmdb.ReadonlyError, txn.put, b"a", b"b")
        raises("delete in a read txn", lmdb.ReadonlyError, txn.delete, b"a")
        raises("replace in a read txn", lmdb.ReadonlyError, txn.replace, b"a", b"b")
        equal("pop of nothing in a read txn", txn.pop(b"a"), None)
    env.close()


@section
def options_are_taken():
    for options in ({"writemap": True}, {"metasync": False}, {"sync": False}, {"map_async": True},
                    {"writemap": True, "map_async": True}, {"readahead": False},
                    {"meminit": False}, {"lock": False}, {"max_spare_txns": 0}):
        name = "env " + " ".join(sorted(options))
        env = lmdb.open(name, map_size=MIB, **options)
        with env.begin(write=True) as txn:
            for i in range(100):
                txn.put(number(i), b"value %d" % i)
        env.sync(True)
        env.sync()
        env.close()
        env = lmdb.open(name, readonly=True, lock=options.get("lock", True))
        with env.begin() as txn:
            equal("records with %r" % options, len(list(txn.cursor())), 100)
        env.close()
    equal("writemap's file is as long as the map", os.stat("env writemap/data.mdb").st_size, MIB)


# ---- Records ---------------------------------------------------------------------------------


@section
def puts_and_gets():
    env = lmdb.open("env", map_size=10 * MIB)
    with env.begin(write=True) as txn:
        equal("get of nothing", txn.get(b"a"), None)
        equal("get with a default", txn.get(b"a", default=b"d"), b"d")
        equal("put", txn.put(b"a", b"1"), True)
        equal("get in the txn", txn.get(b"a"), b"1")
        equal("put again", txn.put(b"a", b"2"), True)
        equal("put without overwrite", txn.put(b"a", b"3", overwrite=False), False)
        equal("which changed nothing", txn.get(b"a"), b"2")
        equal("an empty value", txn.put(b"empty", b""), True)
        equal("reads as one", txn.get(b"empty"), b"")
        equal("replace", txn.replace(b"a", b"4"), b"2")
        equal("replace of nothing", txn.replace(b"new", b"5"), None)
        equal("pop", txn.pop(b"new"), b"5")
        equal("pop of nothing", txn.pop(b"new"), None)
        equal("delete", txn.delete(b"a"), True)
        equal("delete of nothing", txn.delete(b"a"), False)
        equal("append", txn.put(b"z", b"1", append=True), True)
        equal("append below", txn.put(b"y", b"1", append=True), False)
    with env.begin() as txn:
        equal("what is left", list(txn.cursor()), [(b"empty", b""), (b"z", b"1")])
    env.close()


@section
def sizes_of_keys_and_values():
    env = lmdb.open("env", map_size=64 * MIB)
    with env.begin(write=True) as txn:
        raises("empty key: put", lmdb.BadValsizeError, txn.put, b"", b"x")
        raises("long key: put", lmdb.BadValsizeError, txn.put, b"k" * 512, b"x")
        raises("empty key: get", lmdb.BadValsizeError, txn.get, b"")
        equal("long key: get", txn.get(b"k" * 512), None)
        for size in (1, 2, 255, 510, 511):
            equal("key of %d bytes" % size, txn.put(b"k" * size, b"%d" % size), True)
        for size in (0, 1, 1000, 2037, 2038, 2039, 2040, 4096, 5000, 8192, 65536, 3000000):
            value = bytes([size % 251]) * size
            equal("value of %d bytes" % size, txn.put(b"v%d" % size, value), True)
    with env.begin() as txn:
        for size in (1, 2, 255, 510, 511):
            equal("key of %d bytes read" % size, txn.get(b"k" * size), b"%d" % size)
        for size in (0, 1, 1000, 2037, 2038, 2039, 2040, 4096, 5000, 8192, 65536, 3000000):
            equal("value of %d bytes read" % size, txn.get(b"v%d" % size),
                  bytes([size % 251]) * size)
    env.close()


@section
def a_failed_put_does_not_end_the_txn():
    env = lmdb.open("env")
    txn = env.begin(write=True)
    txn.put(b"a", b"1")
    raises("bad size", lmdb.BadValsizeError, txn.put, b"", b"x")
    equal("the txn goes on", txn.put(b"b", b"2"), True)
    txn.commit()
    with env.begin() as txn:
        equal("both are there", dict(txn.cursor()), {b"a": b"1", b"b": b"2"})
    env.close()


@section
def random_records_as_in_a_dict():
    rng = random.Random(1)
    env = lmdb.open("env", map_size=64 * MIB)
    model = {}
    for round_ in range(30):
        with env.begin(write=True) as txn:
            for _ in range(200):
                key = number(rng.randrange(1500))
                if rng.random() < 0.7:
                    value = bytes([rng.randrange(256)]) * rng.choice((0, 5, 60, 700, 5000))
                    txn.put(key, value)
                    model[key] = value
                else:
                    if txn.delete(key) != (model.pop(key, None) is not None):
                        check("delete tells what was there", False)
        with env.begin() as txn:
            equal("round %d" % round_, list(txn.cursor()), sorted(model.items()))
            equal("entries %d" % round_, txn.stat()["entries"], len(model))
    env.close()
    env = lmdb.open("env", readonly=True)
    with env.begin() as txn:
        equal("after opening again", dict(txn.cursor()), model)
        equal("backward", list(txn.cursor().iterprev()), sorted(model.items(), reverse=True))
    env.close()


# ---- Txns ------------------------------------------------------------------------------------


@section
def commits_and_aborts():
    env = lmdb.open("env")
    txn = env.begin(write=True)
    txn.put(b"a", b"1")
    txn.abort()
    with env.begin() as txn:
        equal("an abort leaves nothing", txn.get(b"a"), None)
    raises("use after the end", lmdb.Error, txn.get, b"a")
    try:
        with env.begin(write=True) as txn:
            txn.put(b"a", b"1")
            raise KeyError("on purpose")
    except KeyError:
        pass
    with env.begin() as txn:
        equal("an exception aborts", txn.get(b"a"), None)
    reader = env.begin()
    with env.begin(write=True) as txn:
        txn.put(b"a", b"2")
    equal("a reader keeps its snapshot", reader.get(b"a"), None)
    reader.abort()
    reader = env.begin()
    equal("a later one sees it", reader.get(b"a"), b"2")
    reader.abort()
    env.close()


@section
def nested_txns():
    env = lmdb.open("env", map_size=10 * MIB)
    with env.begin(write=True) as txn:
        txn.put(b"a", b"1")
        with env.begin(write=True, parent=txn) as child:
            equal("a child sees its parent's", child.get(b"a"), b"1")
            child.put(b"b", b"2")
            raises("a parent waits", lmdb.BadTxnError, txn.put, b"c", b"3")
        equal("committed into the parent", txn.get(b"b"), b"2")
        child = env.begin(write=True, parent=txn)
        child.put(b"d", b"4")
        child.delete(b"a")
        grandchild = env.begin(write=True, parent=child)
        grandchild.put(b"e", b"5")
        grandchild.commit()
        equal("and the one below", child.get(b"e"), b"5")
        child.abort()
        equal("an aborted child leaves nothing", (txn.get(b"d"), txn.get(b"e")), (None, None))
        equal("and takes nothing", txn.get(b"a"), b"1")
    with env.begin() as txn:
        equal("after all", list(txn.cursor()), [(b"a", b"1"), (b"b", b"2")])
    env.close()
    env = lmdb.open("map", writemap=True)
    with env.begin(write=True) as txn:
        raises("none under writemap", lmdb.BadTxnError, env.begin, write=True, parent=txn)
    env.close()


@section
def buffers():
    env = lmdb.open("env", map_size=10 * MIB)
    with env.begin(write=True, buffers=True) as txn:
        txn.put(bytearray(b"key"), memoryview(b"value"))
        txn.put(b"long", b"x" * 100000)
    with env.begin(buffers=True) as txn:
        value = txn.get(b"key")
        equal("a buffer", (type(value), bytes(value)), (memoryview, b"value"))
        check("that is read-only", value.readonly)
        long = txn.get(b"long")
        equal("of any size", len(long), 100000)
        for key, value in txn.cursor():
            equal("from cursors too", (type(key), type(value)), (memoryview, memoryview))
        equal("over a part", bytes(long[50000:50003]), b"xxx")
    env.close()


@section
def txns_with_the_cursor_alive():
    env = lmdb.open("env", max_dbs=2)
    txn = env.begin(write=True)
    cursor = txn.cursor()
    cursor.put(b"a", b"1")
    txn.commit()
    raises("a cursor after its txn", lmdb.Error, cursor.first)
    txn = env.begin()
    cursor = txn.cursor()
    del txn
    gc.collect()
    check("a cursor holds its txn", cursor.first())
    equal("and reads", cursor.item(), (b"a", b"1"))
    env.close()
    raises("until the env is closed", lmdb.Error, cursor.first)


# ---- Cursors ---------------------------------------------------------------------------------


@section
def cursor_moves():
    env = lmdb.open("env")
    keys = [number(i * 2) for i in range(500)]
    with env.begin(write=True) as txn:
        cursor = txn.cursor()
        equal("first in an empty table", cursor.first(), False)
        equal("last in an empty table", cursor.last(), False)
        equal("no item", cursor.item(), (b"", b""))
        equal("put many", cursor.putmulti([(k, k[::-1]) for k in keys]), (500, 500))
    with env.begin() as txn:
        cursor = txn.cursor()
        equal("next without a position", (cursor.next(), cursor.key()), (True, keys[0]))
        equal("prev before the first", cursor.prev(), False)
        equal("first", (cursor.first(), cursor.item()), (True, (keys[0], keys[0][::-1])))
        equal("last", (cursor.last(), cursor.key()), (True, keys[-1]))
        equal("next behind the last", cursor.next(), False)
        equal("which has no key", cursor.key(), b"")
        cursor = txn.cursor()
        equal("prev without a position", (cursor.prev(), cursor.key()), (True, keys[-1]))
        for i in range(0, 500, 25):
            equal("set_key", (cursor.set_key(keys[i]), cursor.value()), (True, keys[i][::-1]))
            equal("set_key between", cursor.set_key(number(i * 2 + 1)), False)
            equal("set_range", (cursor.set_range(keys[i]), cursor.key()), (True, keys[i]))
            if i:
                equal("set_range between", (cursor.set_range(number(i * 2 - 1)), cursor.key()),
                      (True, keys[i]))
                equal("and back", (cursor.prev(), cursor.key()), (True, keys[i - 1]))
            equal("get", cursor.get(keys[i]), keys[i][::-1])
        equal("set_range behind all", cursor.set_range(b"9" * 9), False)
        equal("get of nothing", cursor.get(b"x", b"default"), b"default")
        equal("forward", [k for k, _ in cursor.iternext()], keys)
        equal("keys only", list(cursor.iternext(values=False)), keys)
        equal("values only", list(cursor.iternext(keys=False)), [k[::-1] for k in keys])
        equal("backward", list(cursor.iterprev(values=False)), keys[::-1])
        cursor.set_key(keys[100])
        equal("from the middle", list(cursor.iternext(values=False)), keys[100:])
        cursor.set_key(keys[100])
        equal("back from the middle", list(cursor.iterprev(values=False)), keys[100::-1])
        equal("getmulti", cursor.getmulti([keys[3], b"none", keys[1]]),
              [(keys[3], keys[3][::-1]), (keys[1], keys[1][::-1])])
    env.close()


@section
def cursor_changes():
    env = lmdb.open("env", map_size=10 * MIB)
    with env.begin(write=True) as txn:
        cursor = txn.cursor()
        for i in range(100):
            equal("cursor put", cursor.put(number(i), b"v"), True)
        equal("where it stands", cursor.key(), number(99))
        equal("without overwrite", cursor.put(number(5), b"w", overwrite=False), False)
        equal("delete at", (cursor.set_key(number(10)), cursor.delete()), (True, True))
        equal("the next is there", cursor.key(), number(11))
        equal("delete the last", (cursor.last(), cursor.delete()), (True, True))
        equal("nothing is there", (cursor.key(), cursor.delete()), (b"", False))
        other = txn.cursor()
        other.set_key(number(20))
        cursor.set_key(number(20))
        equal("delete under another", cursor.delete(), True)
        equal("it stands at the next", cursor.key(), number(21))
        equal("and the other goes on there", (other.next(), other.key()), (True, number(21)))
        equal("replace", (cursor.replace(number(30), b"new"), cursor.get(number(30))),
              (b"v", b"new"))
        equal("pop", (cursor.pop(number(30)), cursor.pop(number(30))), (b"new", None))
        left = 0
        cursor.first()
        while cursor.delete():
            left += 1
        equal("delete all, one by one", (left, list(txn.cursor())), (96, []))
    env.close()


@section
def cursors_while_the_table_changes():
    rng = random.Random(2)
    env = lmdb.open("env", map_size=10 * MIB)
    model = {}
    with env.begin(write=True) as txn:
        cursors = [txn.cursor() for _ in range(5)]
        for _ in range(1500):
            cursor = rng.choice(cursors)
            key = number(rng.randrange(400))
            action = rng.randrange(3)
            if action == 0:
                cursor.put(key, key * rng.randrange(1, 30))
                model[key] = txn.get(key)
            elif action == 1:
                if cursor.set_key(key) != (key in model):
                    check("set_key tells what is there", False)
                elif key in model:
                    cursor.delete()
                    del model[key]
                    after = min((k for k in model if k > key), default=b"")
                    if cursor.key() != after:
                        check("the next one is there after a delete", False)
            else:
                after = min((k for k in model if k >= key), default=b"")
                if (cursor.set_range(key), cursor.key()) != (after != b"", after):
                    check("set_range finds the next one", False)
        equal("records", list(txn.cursor()), sorted(model.items()))
    env.close()


# ---- Duplicates ------------------------------------------------------------------------------


@section
def duplicates():
    env = lmdb.open("env", max_dbs=5, map_size=10 * MIB)
    db = env.open_db(b"dup", dupsort=True)
    values = [number(i) for i in range(200)]
    with env.begin(write=True, db=db) as txn:
        for value in random.Random(3).sample(values, 200):
            equal("a value", txn.put(b"k", value), True)
        equal("again", txn.put(b"k", values[7]), True)
        equal("again, no pairs", txn.put(b"k", values[7], dupdata=False), False)
        equal("again, no overwrite", txn.put(b"k", b"new", overwrite=False), False)
        txn.put(b"j", b"before")
        txn.put(b"l", b"behind")
        raises("a value of 512 bytes", lmdb.BadValsizeError, txn.put, b"k", b"v" * 512)
        equal("entries", txn.stat(db)["entries"], 202)
        equal("get gives the first", txn.get(b"k"), values[0])
    with env.begin(db=db) as txn:
        cursor = txn.cursor()
        check("to the key", cursor.set_key(b"k"))
        equal("count", cursor.count(), 200)
        equal("its values", list(cursor.iternext_dup()), values)
        cursor.set_key(b"k")
        equal("with keys", list(cursor.iternext_dup(keys=True))[:1], [(b"k", values[0])])
        check("last value", cursor.set_key(b"k") and cursor.last_dup())
        equal("is", cursor.value(), values[-1])
        equal("backward", list(cursor.iterprev_dup()), values[::-1])
        check("first value", cursor.set_key(b"k") and cursor.last_dup() and cursor.first_dup())
        equal("is it", cursor.value(), values[0])
        equal("no value before", cursor.prev_dup(), False)
        cursor.set_key(b"k")
        equal("next key", (cursor.next_nodup(), cursor.item()), (True, (b"l", b"behind")))
        equal("key before", (cursor.prev_nodup(), cursor.item()), (True, (b"k", values[-1])))
        equal("without values", list(txn.cursor().iternext_nodup()), [b"j", b"k", b"l"])
        equal("with one value", list(txn.cursor().iternext_nodup(keys=True, values=True)),
              [(b"j", b"before"), (b"k", values[0]), (b"l", b"behind")])
        equal("pair", (cursor.set_key_dup(b"k", values[9]), cursor.value()), (True, values[9]))
        equal("no pair", cursor.set_key_dup(b"k", b"none"), False)
        equal("a range of values", (cursor.set_range_dup(b"k", b"00000009x"), cursor.value()),
              (True, values[10]))
        equal("behind them", cursor.set_range_dup(b"k", b"x"), False)
        equal("all", list(txn.cursor()), [(b"j", b"before")] + [(b"k", v) for v in values] +
              [(b"l", b"behind")])
        equal("getmulti", cursor.getmulti([b"j", b"k"], dupdata=True),
              [(b"j", b"before")] + [(b"k", v) for v in values])
    with env.begin(write=True, db=db) as txn:
        equal("delete a pair", txn.delete(b"k", values[5]), True)
        equal("delete no pair", txn.delete(b"k", values[5]), False)
        cursor = txn.cursor()
        cursor.set_key_dup(b"k", values[6])
        equal("delete at the cursor", (cursor.delete(), cursor.value()), (True, values[7]))
        equal("delete the rest", (cursor.delete(dupdata=True), cursor.item()),
              (True, (b"l", b"behind")))
        equal("delete a key", txn.delete(b"j"), True)
        equal("what is left", list(txn.cursor()), [(b"l", b"behind")])
        equal("pop", txn.pop(b"l"), b"behind")
        equal("replace", txn.replace(b"n", b"1"), None)
    env.close()


@section
def fixed_duplicates():
    env = lmdb.open("env", max_dbs=5, map_size=20 * MIB)
    db = env.open_db(b"fixed", dupsort=True, dupfixed=True)
    ints = env.open_db(b"ints", dupsort=True, integerdup=True, dupfixed=True)
    rows = [struct.pack(">Q", i * 3) for i in range(3000)]
    with env.begin(write=True) as txn:
        equal("put many", txn.cursor(db).putmulti([(b"k", row) for row in rows]), (3000, 3000))
        txn.put(b"l", rows[0], db=db)
        for i in (5, 300, 70000, 1, 256):
            txn.put(b"k", struct.pack("=Q", i), db=ints)
    with env.begin() as txn:
        cursor = txn.cursor(db)
        equal("in one piece", b"".join(bytes(v) for k, v in cursor.getmulti(
            [b"k"], dupdata=True, dupfixed_bytes=8)), b"".join(rows))
        equal("with the next", len(cursor.getmulti([b"k", b"l"], dupdata=True, dupfixed_bytes=8)),
              3001)
        buffer = cursor.getmulti([b"l"], dupdata=True, dupfixed_bytes=8, keyfixed=True)
        equal("keys and values in one buffer", bytes(buffer), b"l" + rows[0])
        equal("integers ascend", [struct.unpack("=Q", v)[0] for _, v in txn.cursor(ints)],
              [1, 5, 256, 300, 70000])
        cursor.set_key(b"k")
        equal("count", cursor.count(), 3000)
    env.close()


@section
def keys_of_other_orders():
    env = lmdb.open("env", max_dbs=5)
    reverse = env.open_db(b"reverse", reverse_key=True)
    ints = env.open_db(b"ints", integerkey=True)
    with env.begin(write=True) as txn:
        for key in (b"ab", b"ba", b"ca", b"bb", b"a"):
            txn.put(key, key, db=reverse)
        for i in (70000, 1, 256, 255, 65536):
            txn.put(struct.pack("=I", i), b"%d" % i, db=ints)
    with env.begin() as txn:
        equal("from the end", [k for k, _ in txn.cursor(reverse)], [b"a", b"ba", b"ca", b"ab", b"bb"])
        equal("integers", [v for _, v in txn.cursor(ints)], [b"1", b"255", b"256", b"65536", b"70000"])
        equal("a range of integers", (lambda c: (c.set_range(struct.pack("=I", 257)), c.value()))(
            txn.cursor(ints)), (True, b"65536"))
    env.close()


# ---- Tables ----------------------------------------------------------------------------------


@section
def tables():
    env = lmdb.open("env", max_dbs=3, map_size=10 * MIB)
    raises("a missing one", lmdb.NotFoundError, env.open_db, b"a", create=False)
    a = env.open_db(b"a")
    b = env.open_db(b"b", dupsort=True)
    c = env.open_db(b"c")
    raises("one too many", lmdb.DbsFullError, env.open_db, b"d")
    with env.begin(write=True) as txn:
        txn.put(b"k", b"in a", db=a)
        txn.put(b"k", b"in b", db=b)
        txn.put(b"k", b"in c", db=c)
        txn.put(b"k", b"in main")
    with env.begin() as txn:
        equal("apart", [txn.get(b"k", db=db) for db in (a, b, c, None)],
              [b"in a", b"in b", b"in c", b"in main"])
        equal("names stand in the main table", list(txn.cursor().iternext(values=False)),
              [b"a", b"b", b"c", b"k"])
        equal("a name reads as a record of 48 bytes", len(txn.get(b"a")), 48)
        equal("flags of a table", (b.flags(txn)["dupsort"], a.flags(txn)["dupsort"]), (True, False))
        equal("entries of main", txn.stat()["entries"], 4)
        equal("entries of one", txn.stat(a)["entries"], 1)
    txn = env.begin(write=True)
    raises("a put on a name", lmdb.IncompatibleError, txn.put, b"a", b"x")
    txn.abort()
    txn = env.begin(write=True)
    raises("a delete of a name", lmdb.IncompatibleError, txn.delete, b"a")
    txn.abort()
    with env.begin(write=True) as txn:
        txn.drop(a, delete=False)
        equal("emptied", (txn.stat(a)["entries"], txn.get(b"k", db=a)), (0, None))
        txn.drop(b)
    with env.begin() as txn:
        equal("dropped", list(txn.cursor().iternext(values=False)), [b"a", b"c", b"k"])
    txn = env.begin(write=True)
    txn.drop(c)
    txn.abort()
    env.close()
    env = lmdb.open("env", max_dbs=10)
    with env.begin() as txn:
        equal("a drop that was aborted", txn.get(b"k", db=env.open_db(b"c", txn=txn)), b"in c")
    raises("a record is no table", lmdb.IncompatibleError, env.open_db, b"k")
    for i in range(8):
        env.open_db(b"many %d" % i)
    with env.begin() as txn:
        equal("all listed", [k for k in txn.cursor().iternext(values=False) if k[:4] == b"many"],
              [b"many %d" % i for i in range(8)])
    env.close()
    env = lmdb.open("env")
    raises("none without max_dbs", lmdb.DbsFullError, env.open_db, b"a")
    env.close()


@section
def tables_made_in_a_txn():
    env = lmdb.open("env", max_dbs=5)
    txn = env.begin(write=True)
    db = env.open_db(b"t", txn=txn)
    txn.put(b"a", b"1", db=db)
    txn.abort()
    raises("an abort takes them back", lmdb.NotFoundError, env.open_db, b"t", create=False)
    with env.begin(write=True) as txn:
        db = env.open_db(b"t", txn=txn)
        txn.put(b"a", b"1", db=db)
    with env.begin(db=db) as txn:
        equal("a commit keeps them", txn.get(b"a"), b"1")
    env.close()


@section
def a_large_drop():
    env = lmdb.open("env", max_dbs=2, map_size=50 * MIB)
    db = env.open_db(b"t")
    for round_ in range(3):
        with env.begin(write=True, db=db) as txn:
            for i in range(20000):
                txn.put(number(i), b"v" * 100)
        with env.begin(write=True) as txn:
            txn.drop(db, delete=False)
            equal("nothing left", txn.stat(db)["entries"], 0)
    check("space is used again", os.stat("env/data.mdb").st_size < 12 * MIB)
    env.close()


# ---- The map ---------------------------------------------------------------------------------


@section
def a_full_map():
    env = lmdb.open("env", map_size=MIB)
    txn = env.begin(write=True)
    count = 0
    try:
        while True:
            txn.put(number(count), b"v" * 1000)
            count += 1
    except lmdb.MapFullError:
        pass
    # LMDB comes to 724, and to 1000 where its pages are full.
    check("a good part of the map is used", 600 < count < 1300)
    raises("only an abort is left", lmdb.BadTxnError, txn.put, b"a", b"b")
    txn.abort()
    with env.begin() as txn:
        equal("nothing is there", txn.stat()["entries"], 0)
    env.set_mapsize(4 * MIB)
    equal("it may grow", env.info()["map_size"], 4 * MIB)
    with env.begin(write=True) as txn:
        for i in range(count + 200):
            txn.put(number(i), b"v" * 1000)
    with env.begin() as txn:
        equal("and takes more", txn.stat()["entries"], count + 200)
    env.close()
    env = lmdb.open("env", map_size=4096)
    check("a size below the data is raised", env.info()["map_size"] >= count * 1000)
    env.close()


@section
def copies():
    env = lmdb.open("env", max_dbs=3, map_size=10 * MIB)
    db = env.open_db(b"t", dupsort=True)
    with env.begin(write=True) as txn:
        for i in range(2000):
            txn.put(number(i), b"v" * 200)
            txn.put(number(i % 50), number(i), db=db)
    with env.begin(write=True) as txn:
        for i in range(0, 2000, 2):
            txn.delete(number(i))
    for how in ({}, {"compact": True}):
        name = "copy %d" % len(how)
        os.mkdir(name)
        env.copy(name, **how)
        raises("onto itself", lmdb.Error, env.copy, name, **how)
        other = lmdb.open(name, max_dbs=3)
        with env.begin() as txn, other.begin() as copied:
            equal("records %s" % name, list(txn.cursor(db)),
                  list(copied.cursor(other.open_db(b"t", txn=copied))))
            equal("main %s" % name, list(txn.cursor().iternext(values=False)),
                  list(copied.cursor().iternext(values=False)))
        other.close()
        with open("fd %s" % name, "wb") as file:
            env.copyfd(file.fileno(), **how)
        other = lmdb.open("fd %s" % name, subdir=False, readonly=True, max_dbs=3)
        with other.begin() as txn:
            equal("by descriptor %s" % name, txn.stat()["entries"], 1001)
        other.close()
    check("compact is smaller", os.stat("copy 1/data.mdb").st_size < os.stat("copy 0/data.mdb").st_size)
    env.close()


# ---- Readers ---------------------------------------------------------------------------------


@section
def readers():
    env = lmdb.open("env", max_readers=4)
    with env.begin(write=True) as txn:
        txn.put(b"a", b"1")
    equal("no reader yet", env.readers(), "(no active readers)\n")
    txn = env.begin()
    lines = env.readers().splitlines()
    equal("heading", lines[0].split(), ["pid", "thread", "txnid"])
    equal("one line", len(lines), 2)
    equal("pid and txnid", (lines[1].split()[0], lines[1].split()[2]), (str(os.getpid()), "1"))
    equal("seen in info", env.info()["num_readers"], 1)
    txn.abort()
    equal("dead ones", env.reader_check(), 0)
    held = []
    try:
        while len(held) < 100:
            held.append(env.begin())
    except lmdb.ReadersFullError:
        pass
    equal("as many as may be, one being kept by an earlier txn", len(held), 3)
    for txn in held:
        txn.abort()
    env.begin().abort()
    env.close()


def read_in_a_thread(env, results):
    for _ in range(50):
        with env.begin() as txn:
            results.append(len(list(txn.cursor())))


@section
def threads():
    env = lmdb.open("env", map_size=10 * MIB)
    with env.begin(write=True) as txn:
        for i in range(100):
            txn.put(number(i), b"v")
    results = []
    workers = [threading.Thread(target=read_in_a_thread, args=(env, results)) for _ in range(6)]
    for worker in workers:
        worker.start()
    for i in range(100, 200):
        with env.begin(write=True) as txn:
            txn.put(number(i), b"v")
    for worker in workers:
        worker.join()
    equal("all have read", len(results), 300)
    check("whole snapshots", all(100 <= n <= 200 for n in results))
    env.close()


def write_in_a_process(path, first, count):
    env = lmdb.open(path, map_size=10 * MIB)
    for i in range(first, first + count):
        with env.begin(write=True) as txn:
            txn.put(number(i), b"from %d" % os.getpid())
    env.close()


@section
def processes():
    context = multiprocessing.get_context("spawn")
    write_in_a_process("env", 0, 1)
    workers = [context.Process(target=write_in_a_process, args=("env", 1000 * n, 40))
               for n in range(1, 4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    equal("all ended well", [worker.exitcode for worker in workers], [0, 0, 0])
    env = lmdb.open("env")
    with env.begin() as txn:
        equal("nothing is lost", txn.stat()["entries"], 121)
    equal("txnids", env.info()["last_txnid"], 121)
    env.close()


@section
def a_child_of_fork():
    env = lmdb.open("env")
    with env.begin(write=True) as txn:
        txn.put(b"a", b"1")
    child = os.fork()
    if child == 0:
        own = lmdb.open(os.path.realpath("env") + "/.")
        with own.begin() as txn:
            os._exit(0 if txn.get(b"a") == b"1" else 1)
    equal("a child opens its own", os.waitpid(child, 0)[1], 0)
    with env.begin(write=True) as txn:
        equal("and its parent goes on", txn.put(b"b", b"2"), True)
    env.close()


if __name__ == "__main__":
    run_sections()
