#!/bin/bash
# SPDX-License-Identifier: MIT
# python3-lmdb, by python_lmdb.py.
python=/usr/bin/python3
if [ ! -x "$python" ]; then
    python=$CLIENT_ROOT/usr/bin/python3
    export PYTHONHOME=$CLIENT_ROOT/usr
fi
PYTHONPATH=$CLIENT_ROOT/usr/lib/python3/dist-packages PYTHONDONTWRITEBYTECODE=1 \
    exec "$python" "$CLIENT_SCRIPTS/python_lmdb.py"
