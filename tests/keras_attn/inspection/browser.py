"""A Chromium without a window, spoken to by its DevTools protocol over pipes: no network, no further packages."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

#: The browser's binary: what the environment names, or what is on the path.
BINARY = os.environ.get("KERAS_ATTN_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

# Chromium reads commands from file 3 and answers on file 4, whatever numbers the pipes have.
START = """
import os, sys
for here, there in zip([os.dup(int(number)) for number in sys.argv[1:3]], (3, 4)):
    os.dup2(here, there)
    os.set_inheritable(there, True)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """A browser with one page. Use it in a `with`."""

    def __init__(self, binary=BINARY, timeout=60):
        self.home = tempfile.mkdtemp()
        self.timeout, self.session = timeout, None
        self.count, self.rest, self.events = 0, b"", []
        (commands, self.to), (self.back, answers) = os.pipe(), os.pipe()
        arguments = ["--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--remote-debugging-pipe"]
        arguments += [f"--user-data-dir={self.home}"]
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                START,
                str(commands),
                str(answers),
                binary,
                *arguments,
                f"--user-data-dir={self.home}",
            ],
            pass_fds=(commands, answers),
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        target = self._say("Target.createTarget", url="about:blank", width=900, height=700)["targetId"]
        self.session = self._say("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._say(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait()
        os.close(self.to)
        os.close(self.back)
        shutil.rmtree(self.home, ignore_errors=True)

    def open(self, path):
        """Opens a file and waits until it is shown."""
        self.events.clear()
        self._say("Page.navigate", url=f"file://{path}")
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def run(self, expression):
        """What an expression of JavaScript is worth, once it is known."""
        found = self._say("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def move(self, selector):
        """Moves the mouse over the middle of the first element that the selector finds."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.run(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({box})")
        self._say("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key):
        """Presses a key, by the name that JavaScript has for it."""
        for kind in ("keyDown", "keyUp"):
            # The number is what makes Tab go on to the next element.
            self._say("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=9 if key == "Tab" else 0)

    def prefer(self, scheme):
        """Asks pages for light or dark."""
        self._say("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        """Writes what is seen as PNG."""
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._say("Page.captureScreenshot", format="png")["data"]))

    def heard(self, method):
        """What the page did since it was opened."""
        return [event["params"] for event in self.events if event["method"] == method]

    def _say(self, method, **params):
        self.count += 1
        session = {"sessionId": self.session} if self.session else {}
        message = {"id": self.count, "method": method, "params": params, **session}
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self.count:
            self.events.append(answer)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _read(self):
        until = time.monotonic() + self.timeout
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.back], [], [], max(0.0, until - time.monotonic()))
            piece = os.read(self.back, 2**16) if ready else b""
            if not piece:
                raise TimeoutError("The browser says nothing.")
            self.rest += piece
        one, self.rest = self.rest.split(b"\0", 1)
        return json.loads(one)
