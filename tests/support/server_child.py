"""A server in a process of its own that does what a test says: one JSON object a line in, one out.

Its media can be announced at another port than its own, for a bad network in between (`lossy_udp`).
"""

import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hushroom_sfu.server import Server
from tests.support.lossy_udp import announce
from tests.support.server import metric, running_server

__all__ = ["ServerChild", "Usage", "server_child"]


@dataclass(frozen=True)
class Usage:
    """What the server's process holds."""

    legs: int
    participants: int
    websockets: int
    tasks: int
    descriptors: int
    resident_bytes: int
    internal_errors: int


class ServerChild:
    """The test's end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.url = ""
        self.udp_port = 0

    async def announce(self, port: int) -> None:
        """Legs opened from now on are told that media is at this port."""
        await self._do("announce", port=port)

    async def usage(self) -> Usage:
        """As it is now, once what nobody refers to any more has been freed."""
        return Usage(**await self._do("usage"))

    async def begin(self) -> None:
        """Waits until it serves."""
        answer = await self._do("begin")
        self.url, self.udp_port = answer["url"], answer["udp_port"]

    async def _do(self, command: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
        line = await self._process.stdout.readline()
        assert line, "the server's process has ended"
        return json.loads(line)


@asynccontextmanager
async def server_child() -> AsyncIterator[ServerChild]:
    """An open server on free ports of 127.0.0.1."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=pipe, stdout=pipe, cwd=Path(__file__).parents[2]
    )
    try:
        child = ServerChild(process)
        await child.begin()
        yield child
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


class _Commands:
    """The server's end."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def begin(self) -> dict[str, Any]:
        return {"url": self._server.url, "udp_port": self._server.udp_port}

    def announce(self, port: int) -> None:
        announce(self._server, port)

    def usage(self) -> dict[str, int]:
        gc.collect()
        return {
            "legs": self._server.plane.leg_count,
            "participants": self._server.control.counts.participants,
            "websockets": self._server.control.counts.connections,
            "tasks": len(asyncio.all_tasks()),
            "descriptors": int(metric(self._server, "process_open_fds")),
            "resident_bytes": int(metric(self._server, "process_resident_memory_bytes")),
            "internal_errors": int(metric(self._server, "hushroom_internal_errors_total")),
        }


async def _main() -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with running_server() as server:
        commands = _Commands(server)
        while line := await lines.readline():
            command = json.loads(line)
            print(json.dumps(getattr(commands, command.pop("do"))(**command)), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
