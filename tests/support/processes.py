"""The commands `hushroom-sfu` and `hushroom` as processes of their own, on loopback."""

import asyncio
import re
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["Command", "ServerProcess", "hushroom", "server_process"]

DEADLINE_S = 20.0
_SERVES = re.compile(r"serves on (http://\S+), media on UDP port (\d+)")


class Command:
    """A running command. What it says is collected, whether or not anybody asks for it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._changed = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._collect(process.stdout, self._stdout), name="stdout"),
            asyncio.create_task(self._collect(process.stderr, self._stderr), name="stderr"),
        ]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stdout(self) -> str:
        return self._stdout.decode(errors="replace")

    @property
    def stderr(self) -> str:
        return self._stderr.decode(errors="replace")

    @property
    def errors(self) -> list[str]:
        """The lines of stderr, a status line that is overwritten being as many as it was written."""
        return [line.strip() for line in re.split(r"[\r\n]+", self.stderr) if line.strip()]

    async def says(self, text: str, *, within_s: float = DEADLINE_S) -> str:
        """Waits until a line of either stream holds `text`; returns the line."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    self._changed.clear()
                    for line in re.split(r"[\r\n]+", self.stdout + "\n" + self.stderr):
                        if text in line:
                            return line
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"nothing was said of {text!r}: {self.stdout}\n{self.stderr}") from None

    async def ends(self, *, within_s: float = DEADLINE_S) -> int:
        """Waits for its end; returns the exit code."""
        try:
            async with asyncio.timeout(within_s):
                code = await self.process.wait()
                await asyncio.gather(*self._tasks)
                return code
        except TimeoutError:
            raise AssertionError(f"it goes on: {self.stdout}\n{self.stderr}") from None

    async def put_away(self) -> None:
        """Whatever it is doing."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await asyncio.gather(*self._tasks)

    async def _collect(self, stream: asyncio.StreamReader | None, into: bytearray) -> None:
        assert stream is not None
        while data := await stream.read(4096):
            into.extend(data)
            self._changed.set()


class ServerProcess(Command):
    """A `hushroom-sfu` that serves."""

    url = ""
    udp_port = 0

    async def metric(self, name: str) -> float:
        """One value of /metrics as it is now; `name` with its label, if it has one."""
        text = await asyncio.to_thread(
            lambda: urllib.request.urlopen(f"{self.url}/metrics", timeout=10).read().decode()
        )
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, f"no metric {name}"
        return float(found[1])


async def _start(*arguments: str | Path, stdin: bytes | None = None) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    if stdin is not None:
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
    return process


@asynccontextmanager
async def hushroom(*arguments: str | Path, stdin: bytes | None = None) -> AsyncIterator[Command]:
    """The client's command; `stdin` is what it may read there, and then the end."""
    command = Command(await _start("hushroom_client", *arguments, stdin=stdin))
    try:
        yield command
    finally:
        await command.put_away()


@asynccontextmanager
async def server_process(*arguments: str | Path, is_open: bool = True) -> AsyncIterator[ServerProcess]:
    """A server on free ports of 127.0.0.1 that serves."""
    ports = ("--port", "0", "--udp-port", "0")
    server = ServerProcess(await _start("hushroom_sfu", *(("--open",) if is_open else ()), *ports, *arguments))
    try:
        found = _SERVES.search(await server.says("serves on"))
        assert found, server.stdout
        server.url, server.udp_port = found[1], int(found[2])
        yield server
    finally:
        await server.put_away()
