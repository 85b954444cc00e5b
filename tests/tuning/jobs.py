"""What tests let a process of its own do. No import of Keras, so that it starts in a moment."""

import os
import signal
import sys
import time

import numpy as np

KEPT = []


def add(first, second):
    return {"sum": first + second, "pid": os.getpid()}


def chatter(text):
    print(text)
    os.write(1, b"from a library\n")
    return text


def fail(text):
    raise ArithmeticError(text)


def leave(status):
    sys.exit(status)


def leave_at_once(status):
    os._exit(status)


def die(number):
    os.kill(os.getpid(), getattr(signal, number))
    time.sleep(61)


def die_unless(path):
    """Dies the first time and does well the second."""
    if os.path.exists(path):
        return "well"
    with open(path, "w") as file:
        file.write("was here")
    die("SIGKILL")


def hang(path=None):
    if path:
        with open(path, "w") as file:
            file.write(str(os.getpid()))
    time.sleep(61)


def swell(mebibytes):
    whole = np.ones((mebibytes, 2**20), "uint8")
    time.sleep(61 if mebibytes > 100 else 0)
    return int(whole.sum())


def keep(mebibytes):
    KEPT.append(np.ones((mebibytes, 2**20), "uint8"))
    return os.getpid()


def no_data():
    return {"time": time}


def begin_another():
    from tuning.isolation import Worker

    Worker("math:sqrt")
