"""A TCP proxy that can be cut like a cable: for losing WebSockets while media, which is UDP, flows on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

__all__ = ["Cable", "cable_to"]


class Cable:
    """What is connected through it, and whether anything gets through."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.is_cut = False
        self.connections = 0
        self.url = ""

    def cut(self, *, for_good: bool = False) -> None:
        """Ends every connection without a word; no new ones get through where it is `for_good`."""
        self.is_cut = for_good
        for writer in tuple(self._writers):
            writer.transport.abort()

    def mend(self) -> None:
        """Lets new connections through again."""
        self.is_cut = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.is_cut:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, back}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._carry(reader, back))
                tasks.create_task(self._carry(there, writer))
        finally:
            self._writers -= {writer, back}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def cable_to(url: str) -> AsyncIterator[Cable]:
    """A proxy before the server of that URL, at `Cable.url`."""
    server = urlsplit(url)
    assert server.hostname is not None
    assert server.port is not None
    cable = Cable(server.hostname, server.port)
    listener = await asyncio.start_server(cable.accept, "127.0.0.1", 0)
    cable.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield cable
    finally:
        listener.close()
        cable.cut(for_good=True)
        await listener.wait_closed()
