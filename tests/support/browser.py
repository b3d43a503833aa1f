"""A headless Chromium, driven through the Chrome DevTools Protocol over its WebSocket; no driver to install."""

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tornado.websocket import WebSocketClientConnection, websocket_connect

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
WAIT_SECONDS = 60.0
Event = Mapping[str, Any]


class Tab:
    """One page. `trouble`: errors of its console. `urls`: everything it requested."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str) -> None:
        self._loop = loop
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.trouble: list[str] = []
        self.urls: list[str] = []
        self._socket: WebSocketClientConnection = self._run(self._connect(address))
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS)

    async def _connect(self, address: str) -> WebSocketClientConnection:
        return await websocket_connect(address, on_message_callback=self._hear, max_message_size=64 << 20)

    def _hear(self, message: str | bytes | None) -> None:
        if message is None:
            return
        told = json.loads(message)
        if "id" in told:
            answer = self._answers.pop(told["id"])
            if "error" in told:
                answer.set_exception(RuntimeError(told["error"]["message"]))
            else:
                answer.set_result(told["result"])
        else:
            self._note(told["method"], told["params"])

    def _note(self, method: str, params: Event) -> None:
        if method == "Network.requestWillBeSent":
            self.urls.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.trouble.append(str(params["exceptionDetails"].get("exception", params)))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.trouble.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.trouble.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def send(self, method: str, **params: object) -> Any:
        """Result of one command. Raises RuntimeError."""

        async def exchange() -> Any:
            number = next(self._ids)
            answer = self._answers[number] = self._loop.create_future()
            await self._socket.write_message(json.dumps({"id": number, "method": method, "params": params}))
            return await answer

        return self._run(exchange())

    def close(self) -> None:
        """The page and the connection to it."""
        self.send("Page.close")
        self._loop.call_soon_threadsafe(self._socket.close)

    def run(self, expression: str) -> Any:
        """Value of a JavaScript expression. Raises RuntimeError when it throws."""
        done = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise RuntimeError(str(done["exceptionDetails"].get("exception", done)))
        return done["result"].get("value")

    def wait(self, expression: str, *, seconds: float = WAIT_SECONDS) -> Any:
        """Wait until an expression is true and return its value. Raises AssertionError with the page's text."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := self.run(expression):
                return value
            time.sleep(0.05)
        raise AssertionError(f"{expression}: not within {seconds} s; {self.trouble}; {self.text()[:2000]}")

    def open(self, url: str) -> None:
        """Load a page completely."""
        self.send("Page.navigate", url=url)
        self.wait(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    def text(self) -> str:
        """The visible text."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def press(self, key: str) -> None:
        """Press one key, by its name in UI Events: `Tab`, `Enter`, `ArrowLeft`."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}
        event = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **event)

    def emulate(
        self, *, width: int = 1280, height: int = 900, phone: bool = False, scale: float = 1, **media: str
    ) -> None:
        """Set the window size and media features: `prefers_color_scheme="dark"`."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.send("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """PNG of the window, or of the whole page."""
        taken = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(taken["data"])


@contextmanager
def running_browser(folder: Path) -> Iterator[Callable[[], Tab]]:
    """Run Chromium with its own profile in `folder`. The result opens a tab in a new context."""
    assert CHROMIUM is not None
    profile = folder / "profile"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        port = _port(profile / "DevToolsActivePort", process)

        def open_tab() -> Tab:
            asked = Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
            with urlopen(asked, timeout=WAIT_SECONDS) as reply:
                return Tab(loop, json.load(reply)["webSocketDebuggerUrl"])

        yield open_tab
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.05)
    raise AssertionError(f"chromium did not start: {process.poll()}")
