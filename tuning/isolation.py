"""Runs in a process of their own, with limits: what raises, hangs, swells or dies there is told here, in words.

The process is a fresh Python, as on every system: a fork would copy the locks of TensorFlow's threads in whatever state
they are. It is started once and does run after run, so that importing Keras and compiling are paid for once. What goes
in and comes out is JSON over pipes: a function's name, plain arguments, a plain answer. It ends when its input does, so
that no parent, however it dies, leaves an orphan.

Memory is the resident set, as the parent reads it, not the address space (`RLIMIT_AS`): TensorFlow and JAX reserve
several times what they use, the more so with many cores or a GPU, and abort where they may not.
"""

import contextlib
import dataclasses
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

GIB = 2**30
MIB = 2**20
#: Seconds between two looks at the process.
LOOK = 0.05
#: Seconds within which a process must have started.
START = 300.0
#: Seconds that a process which was asked to end may take.
END = 5.0
SIGNALS = {"SIGKILL": "perhaps out of memory", "SIGSEGV": "segmentation fault", "SIGABRT": "aborted by a library"}
#: What the process runs: it finds modules where this one does.
CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from tuning import isolation; isolation.serve()"

_serving = False


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a run may take.

    Args:
        seconds: its time, above 0, not counting the start of the process; None for any.
        memory: bytes resident, above 0; None for any.
        growth: bytes that the process may keep from one run to another, above 0; beyond it a new one takes over.
        attempts: how often a run is tried, at least 1. It is tried again only if its process died of itself: what
            raises, or takes too long or too much, would do so again.
    """

    seconds: float | None = None
    memory: int | None = None
    growth: int | None = 512 * MIB
    attempts: int = 2

    def __post_init__(self):
        for name in ("seconds", "memory", "growth"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` must be above 0, or None for no limit. Received: {name}={value!r}")
        if not isinstance(self.attempts, int) or self.attempts < 1:
            raise ValueError(f"`attempts` must be a whole number of at least 1. Received: attempts={self.attempts!r}")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Args:
        answer: what the function returned; None if it failed.
        failure: why it failed, in one line; None if it did not.
        attempts: how often it was tried.
        memory: the most bytes that were seen resident; 0 if the system does not say.
    """

    answer: object = None
    failure: str | None = None
    attempts: int = 1
    memory: int = 0


class Worker:
    """A process that runs one function, again and again. Use it in a `with`, or `close` it.

    Args:
        function: its name, "module:function". It takes and returns plain data, as JSON has it.
        limits: a `Limits`.
        log: a file that what the process prints is added to, tracebacks among it; None to forget it.
        environment: variables for the process, beside this one's own.

    Raises:
        ValueError: if the name is none, or the system does not say how much memory a process has.
        RuntimeError: in a process that is itself a worker's.

    Example:
    >>> with Worker("math:hypot") as worker:
    ...     worker.run(3, 4).answer, worker.run("x", 4).failure
    (5.0, 'TypeError: must be real number, not str')
    """

    def __init__(self, function, limits=Limits(), log=None, environment=None):
        if inside():
            raise RuntimeError(
                "A run in a process of its own began a search. A script that begins one when it is imported must do so "
                'under `if __name__ == "__main__":`.'
            )
        if function.count(":") != 1:
            raise ValueError(f'A function is named "module:function". Received: {function!r}')
        if limits.memory is not None and not resident(os.getpid()):
            raise ValueError("A limit of memory needs psutil on this system: pip install psutil.")
        self.function = function
        self.limits = limits
        self.log = log
        self.environment = environment
        self._process = None
        self._answers = None
        self._kept = None

    def run(self, *arguments):
        """Runs the function.

        Returns:
            An `Outcome`, whatever happens to the process.
        """
        request = json.dumps(arguments)
        tried, most, again = 0, 0, True
        while again and tried < self.limits.attempts:
            try:
                outcome, again = self._attempt(request)
            except BaseException:
                # Ctrl-C, or a fault of ours: nobody waits for the answer.
                self.close()
                raise
            tried, most = tried + 1, max(most, outcome.memory)
        self._recycle()
        return dataclasses.replace(outcome, attempts=tried, memory=most)

    @property
    def pid(self):
        """The number of the process; None while there is none."""
        return self._process.pid if self._process else None

    def close(self):
        """Ends the process, at once if it is at work."""
        process, self._process, self._kept = self._process, None, None
        if process is None:
            return
        _kill(process)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            # What was not sent yet cannot be sent any more.
            with contextlib.suppress(OSError):
                pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _attempt(self, request):
        """The outcome of one attempt, and whether another may help."""
        if self._process is None:
            begun, again = self._start()
            if begun.failure:
                return begun, again
        with contextlib.suppress(OSError):
            # A process that is dead already shows when its answer is awaited.
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        return self._await(self.limits.seconds, self.limits.memory)

    def _start(self):
        """Starts the process, and waits until it has found the function."""
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(open(self.log, "ab")) if self.log else subprocess.DEVNULL
            self._process = subprocess.Popen(
                [sys.executable, "-c", CHILD, json.dumps(sys.path), self.function],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **_backend(), **(self.environment or {})},
                encoding="utf-8",
                # A session of its own: Ctrl-C reaches the parent only, which then ends the child and its children.
                start_new_session=os.name == "posix",
            )
        self._answers = queue.SimpleQueue()
        threading.Thread(target=_pump, args=(self._process.stdout, self._answers), daemon=True).start()
        return self._await(START, self.limits.memory)

    def _await(self, seconds, memory):
        """Waits for an answer within limits, or for the end of the process."""
        start, most = time.monotonic(), 0
        while True:
            with contextlib.suppress(queue.Empty):
                answer = self._answers.get(timeout=LOOK)
                if answer is None:
                    return Outcome(failure=self._bury(), memory=most), True
                return Outcome(memory=max(most, self._resident()), **answer), False
            most = max(most, self._resident())
            if memory is not None and most > memory:
                self.close()
                return Outcome(failure=f"used more than {memory / GIB:.1f} GiB of memory", memory=most), False
            if seconds is not None and time.monotonic() - start > seconds:
                self.close()
                return Outcome(failure=f"took longer than {seconds:g} s", memory=most), False

    def _bury(self):
        """Why the process ended, in words."""
        # Its output has ended; it may be a moment until it has.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END)
        code = self._process.poll()
        self.close()
        return "closed its output and went on" if code is None else describe_end(code)

    def _resident(self):
        return resident(self._process.pid)

    def _recycle(self):
        """Ends a process that keeps more and more; the next run starts a new one."""
        if self._process is None:
            return
        now = self._resident()
        # What the first run leaves is what any run needs.
        self._kept = self._kept or now
        if self.limits.growth is not None and now - self._kept > self.limits.growth:
            self.close()


def describe_end(code):
    """How a process ended, in words, from its exit status; of a signal, it is negative.

    Example:
    >>> describe_end(-9), describe_end(3)
    ('killed by signal 9 (perhaps out of memory)', 'ended its process with status 3')
    """
    if code >= 0:
        return f"ended its process with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"killed by signal {-code} ({SIGNALS.get(name, name)})"


def resident(pid):
    """The bytes of a process that are in memory; 0 if it is gone, or the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        import psutil

        return psutil.Process(pid).memory_info().rss
    except Exception:
        # Not installed, or the process is gone.
        return 0


def inside():
    """Whether this process is a worker's."""
    return _serving


def serve():
    """The process's side: answers requests from its input until that ends."""
    global _serving
    _serving = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Whatever a library prints must not come between the answers.
    os.dup2(2, 1)
    requests = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    answer = _try(_find, sys.argv[2])
    function = answer.pop("answer", None)
    while True:
        print(json.dumps(answer), file=answers, flush=True)
        arguments = requests.get()
        answer = _try(_call, function, arguments) if function else answer


def _listen(requests):
    for line in sys.stdin:
        requests.put(json.loads(line))
    # The parent has closed the pipe, or is dead: nobody wants the answer, however far it is.
    os._exit(0)


def _find(name):
    module, attribute = name.split(":")
    return getattr(importlib.import_module(module), attribute)


def _call(function, arguments):
    answer = function(*arguments)
    # Here, where it counts as the run's own fault.
    json.dumps(answer)
    return answer


def _try(function, *arguments):
    try:
        return {"answer": function(*arguments)}
    except BaseException as error:
        # `SystemExit` too: it would end the process without a cause.
        traceback.print_exc()
        sys.stderr.flush()
        return {"failure": cause(error)}


def cause(error):
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _pump(pipe, answers):
    """Hands answers over, and None when there will be no more."""
    with contextlib.suppress(OSError, ValueError):
        for line in pipe:
            answers.put(json.loads(line))
    answers.put(None)


def _backend():
    """The child's Keras has this one's backend, also where it was chosen otherwise than by the environment."""
    keras = sys.modules.get("keras")
    return {"KERAS_BACKEND": keras.config.backend()} if keras else {}


def _kill(process):
    if os.name == "posix":
        # Its own children too.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
