"""A headless Chromium that opens pages and tells what it saw, over the DevTools protocol."""

import contextlib
import http.server
import itertools
import json
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import websocket

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync --remote-debugging-port=0"
).split()


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome on this machine, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass
class Seen:
    """What happened since a page was opened."""

    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # console errors, exceptions, failed and 4xx/5xx requests


class Page:
    """One tab."""

    def __init__(self, websocket_url: str) -> None:
        self._socket = websocket.create_connection(websocket_url, suppress_origin=True, timeout=30)
        self._ids = itertools.count(1)
        self._loaded = False
        self._open_requests: set[str] = set()
        self.seen = Seen()
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._socket.close()

    def call(self, method: str, **params: object) -> dict:
        """Send a command and return its result; events that come in between are noted."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self._note(message)

    def open(self, url: str, timeout_s: float = 30.0) -> Seen:
        """Go to a page and wait until it is loaded, typeset and quiet."""
        self.seen, self._loaded = Seen(), False
        self._open_requests.clear()
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + timeout_s
        while not (self._loaded and not self._open_requests):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} is not quiet after {timeout_s} s: {self._open_requests}")
            self.run("0")
            time.sleep(0.02)
        self.run("window.MathJax?.startup?.promise ?? document.fonts.ready")
        return self.seen

    def run(self, expression: str) -> object:
        """Evaluate JavaScript, waiting for a promise."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def look(self, width: int, height: int = 900, dark: bool = False) -> None:
        """Set the window's size and the reader's colour preference."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")

    def _note(self, message: dict) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.seen.requests.append(params["request"]["url"])
            self._open_requests.add(params["requestId"])
        elif method == "Network.loadingFinished":
            self._open_requests.discard(params["requestId"])
        elif method == "Network.loadingFailed":
            self._open_requests.discard(params["requestId"])
            self.seen.problems.append(f"failed to load: {params['errorText']}")
        elif method == "Network.responseReceived" and params["response"]["status"] >= 400:
            self.seen.problems.append(f"{params['response']['status']}: {params['response']['url']}")
        elif method == "Runtime.exceptionThrown":
            self.seen.problems.append(f"exception: {params['exceptionDetails']}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.seen.problems.append(f"console: {params['args']}")
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.seen.problems.append(f"log: {params['entry']['text']} {params['entry'].get('url', '')}")


@contextlib.contextmanager
def chromium_page(executable: str) -> Iterator[Page]:
    """Start Chromium with an empty profile, give one tab, and end it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = _wait_for_port(Path(profile) / "DevToolsActivePort", process)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
                tab = next(target for target in json.load(answer) if target["type"] == "page")
            page = Page(tab["webSocketDebuggerUrl"])
            yield page
            page.close()
        finally:
            process.terminate()
            process.wait(timeout=20)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on localhost and give its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def _wait_for_port(file: Path, process: subprocess.Popen, timeout_s: float = 60.0) -> int:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"Chromium ended with {process.returncode} before it answered")
        lines = file.read_text().splitlines() if file.is_file() else []
        if lines:
            return int(lines[0])
        time.sleep(0.05)
    raise TimeoutError(f"Chromium did not answer in {timeout_s} s")
