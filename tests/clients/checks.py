# SPDX-License-Identifier: MIT
"""What the Python scripts of this folder share: checks that are counted, and sections, each of which runs in an
empty folder of its own. An exception ends its section and counts as one that failed.
"""
import gc
import os
import shutil
import sys
import traceback

passed = 0
failed = 0
sections = []


def check(what, holds):
    global passed, failed
    if holds:
        passed += 1
    else:
        failed += 1
        print("not so: %s" % what)
        print("".join(traceback.format_stack(limit=3)[:-1]))


def equal(what, got, wanted):
    if got != wanted:
        print("%s: got %.300r, wanted %.300r" % (what, got, wanted))
    check(what, got == wanted)


def raises(what, kind, call, *args, **kwargs):
    try:
        got = call(*args, **kwargs)
    except Exception as error:
        if type(error) is not kind:
            print("%s: raised %r" % (what, error))
        check(what, type(error) is kind)
        return error
    print("%s: returned %.200r" % (what, got))
    check(what, False)
    return None


def section(function):
    sections.append(function)
    return function


def run(function):
    global failed
    home = os.getcwd()
    os.mkdir(function.__name__)
    os.chdir(function.__name__)
    try:
        function()
    except Exception:
        failed += 1
        print("%s ended by:" % function.__name__)
        traceback.print_exc(file=sys.stdout)
    gc.collect()
    os.chdir(home)
    shutil.rmtree(function.__name__)


def run_sections():
    for function in sections:
        run(function)
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(failed > 0)
