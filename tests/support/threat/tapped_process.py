"""Starts a tapped server as a process of its own, and asks it for everything that it holds."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from tests.support.threat.process_memory import writable_memory
from tests.support.threat.tap import Kind, TapRecord, read_tap

__all__ = ["TappedServer", "running_tapped_server"]

ROOT = Path(__file__).resolve().parents[3]


class TappedServer:
    """A running server whose packets, messages, log, metrics and memory a test may read."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path, url: str) -> None:
        self.url = url
        self._process = process
        self._folder = folder

    def records(self, *kinds: Kind) -> list[TapRecord]:
        """What was taken so far, of these kinds."""
        return [record for record in read_tap(self._folder / "tap") if record.kind in kinds]

    def log_file(self) -> bytes:
        """What it wrote on stderr."""
        return (self._folder / "stderr").read_bytes()

    def metrics(self) -> bytes:
        """The text at /metrics."""
        with urlopen(f"{self.url}/metrics", timeout=10) as answer:
            content: bytes = answer.read()
        return content

    def memory(self) -> list[bytes]:
        """All that the process can read and write."""
        return [content for _, content in writable_memory(self._process.pid)]

    def plant(self, secret: bytes) -> None:
        """Makes the server log `secret`, name it in a metric and keep it."""
        assert self._process.stdin is not None
        self._process.stdin.write(secret.hex() + "\n")
        self._process.stdin.flush()


@contextmanager
def running_tapped_server(folder: Path) -> Iterator[TappedServer]:
    """A tapped server on free ports of loopback, open to anyone, logging all it can."""
    command = [sys.executable, "-m", "tests.support.threat.tapped_server", str(folder / "tap")]
    flags = ["--open", "--port", "0", "--udp-port", "0", "--log-level", "debug"]
    with (
        (folder / "stderr").open("wb") as stderr,
        subprocess.Popen(
            [*command, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT
        ) as process,
    ):
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r"http://\S+:\d+", said)
            assert found is not None, f"the server said {said!r} and {(folder / 'stderr').read_text()}"
            yield TappedServer(process, folder, found[0])
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
