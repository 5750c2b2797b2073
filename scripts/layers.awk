# SPDX-License-Identifier: MIT
#
# awk -f layers.awk FILES: finds includes that go against the layers.
#
# A file of lib/ includes only its own layer and those below, by "layer/name.h"; lib/lmdb, which is a
# library of its own, only its own folder's and kv.h. Files of cli/, bench/
# and fuzz/ see only "kv.h" and headers of their own folder, unless a comment in the file says
# "internal module: NAME ..." and names the layers that it uses. tests/ may see everything.

BEGIN {
    split("base os format space pager tree txn api", order, " ")
    for (i in order) rank[order[i]] = i + 0
}

FNR == 1 {
    parts = split(FILENAME, path, "/")
    folder = path[1]
    layer = folder == "lib" ? path[2] : ""
    named = " "
    if (folder == "lib" && layer != "lmdb" && !(layer in rank)) {
        printf "%s: no layer named %s\n", FILENAME, layer
        bad = 1
    }
}

tolower($0) ~ /internal modules?:/ {
    line = $0
    sub(/.*:/, "", line)
    gsub(/[^a-z]+/, " ", line)
    named = named line " "
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
    name = $0
    sub(/^[^"]*"/, "", name)
    sub(/".*/, "", name)
    if (name == "kv.h" || folder == "tests") next
    slash = index(name, "/")
    target = slash ? substr(name, 1, slash - 1) : ""
    if (layer == "lmdb") {
        if (target != "lmdb")
            complain("only kv.h and headers of lib/lmdb are seen here")
    } else if (folder == "lib") {
        if (!(target in rank))
            complain("an include of lib/ names its layer")
        else if (rank[target] > rank[layer])
            complain("goes up from " layer " to " target)
    } else if (target in rank) {
        if (index(named, " " target " ") == 0)
            complain("only include/ is seen here; name the internal module in a comment")
    } else if (system("test -e '" folder "/" name "'") != 0) {
        complain("neither kv.h nor a header of " folder "/")
    }
}

function complain(why) {
    printf "%s:%d: \"%s\": %s\n", FILENAME, FNR, name, why
    bad = 1
}

END { exit bad }
