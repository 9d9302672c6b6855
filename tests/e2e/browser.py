"""Headless Chromium that is clicked in, over the pipe of its DevTools protocol: for pages that one address does not tell.

Format: https://chromedevtools.github.io/devtools-protocol/ ; messages are JSON that ends with a NUL byte.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

COMMAND = (
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@dataclass
class Tab:
    """One page in a browser."""

    _to: IO[bytes] = field(repr=False)
    _from: IO[bytes] = field(repr=False)
    _session: str = ""
    _number: int = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol and waits for its answer; events in between are passed over."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            answer = json.loads(self._message())
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return dict(answer["result"])

    def _message(self) -> bytes:
        read = bytearray()
        while (one := self._from.read(1)) != b"\0":
            assert one, "the browser ended"
            read += one
        return bytes(read)

    def attach(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def visit(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def picture(self, path: Path, selector: str) -> None:
        """A PNG of an element, whole, also where it reaches beyond the window."""
        box = self.run(
            f"(b => ({{x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height}}))"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        clip = {**box, "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browsing(folder: Path, width: int, height: int) -> Iterator[Tab]:
    """A browser with an empty page, its profile in the folder; it ends with the block."""
    browser_reads, we_write = os.pipe()
    we_read, browser_writes = os.pipe()
    # The protocol has its pipes at 3 and 4; a shell puts them there without touching what this process has open.
    place = f'exec 3<&{browser_reads} 4>&{browser_writes}; exec "$@"'
    command = [*COMMAND, f"--user-data-dir={folder}", f"--window-size={width},{height}", "--remote-debugging-pipe"]
    with subprocess.Popen(
        ["bash", "-c", place, "bash", *command],
        pass_fds=(browser_reads, browser_writes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(browser_reads)
        os.close(browser_writes)
        try:
            with os.fdopen(we_write, "wb") as to, os.fdopen(we_read, "rb") as back:
                tab = Tab(to, back)
                tab.attach()
                yield tab
        finally:
            process.terminate()
            process.wait(timeout=20)
