"""The real server with recorders on all that it holds once SRTP is removed: `python -m … TAP_FILE [server flags]`.

Every RTP and RTCP packet is taken where libsrtp hands it over, whatever leg or engine asked; every signaling message
where aiohttp does; every log record where it is made, whatever its level. Lines on stdin plant bytes given in hex, so
that a search can prove that it looks everywhere.
"""

import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pylibsrtp
import pylibsrtp._binding
from aiohttp import WSMessage, WSMsgType, web

from tests.support.threat.tap import Kind, Recorder

__all__ = ["main"]

_planted: list[bytes] = []


def main() -> int:
    """Runs the server until it is told to stop."""
    recorder = Recorder(Path(sys.argv[1]))
    tapped = _TappedLibsrtp(pylibsrtp._binding.lib, recorder)
    for module in (pylibsrtp._binding, pylibsrtp):
        setattr(module, "lib", tapped)  # noqa: B010 (names that are not theirs to export)
    _tap_signaling(recorder)
    _tap_log(recorder)

    import hushroom_sfu.__main__  # noqa: PLC0415 (it takes libsrtp's functions when it is imported)
    import hushroom_sfu.server  # noqa: PLC0415

    _add_planted_metrics(hushroom_sfu.server)
    threading.Thread(target=_plant, name="planting", daemon=True).start()
    return hushroom_sfu.__main__.main(sys.argv[2:])


class _TappedLibsrtp:
    """libsrtp's functions, four of which are listened to; every caller in the process gets them from here."""

    def __init__(self, lib: object, recorder: Recorder) -> None:
        self._lib = lib
        self._recorder = recorder
        self.srtp_unprotect = self._tapped("srtp_unprotect", Kind.RTP_IN)
        self.srtp_unprotect_rtcp = self._tapped("srtp_unprotect_rtcp", Kind.RTCP_IN)
        self.srtp_protect = self._tapped("srtp_protect", Kind.RTP_OUT)
        self.srtp_protect_rtcp = self._tapped("srtp_protect_rtcp", Kind.RTCP_OUT)

    def __getattr__(self, name: str) -> object:
        return getattr(self._lib, name)

    def _tapped(self, name: str, kind: Kind) -> Callable[..., int]:
        function: Callable[..., int] = getattr(self._lib, name)
        ffi, write = pylibsrtp._binding.ffi, self._recorder.write

        def note(context: object, buffer: object, size: list[int]) -> None:
            write(kind, int(ffi.cast("uintptr_t", context)), ffi.buffer(buffer, size[0]))

        def protect(context: object, buffer: object, size: list[int]) -> int:
            note(context, buffer, size)
            return function(context, buffer, size)

        def unprotect(context: object, buffer: object, size: list[int]) -> int:
            status = function(context, buffer, size)
            if status == 0:
                note(context, buffer, size)
            return status

        return unprotect if kind in (Kind.RTP_IN, Kind.RTCP_IN) else protect


def _tap_signaling(recorder: Recorder) -> None:
    socket = web.WebSocketResponse
    receive, send_frame, send_str = socket.receive, socket.send_frame, socket.send_str

    async def tapped_receive(self: web.WebSocketResponse, *arguments: float | None) -> WSMessage:
        message = await receive(self, *arguments)
        recorder.write(Kind.SIGNALING_IN, id(self), _octets(message.data))
        return message

    async def tapped_send_frame(
        self: web.WebSocketResponse, message: bytes, opcode: WSMsgType, compress: int | None = None
    ) -> None:
        recorder.write(Kind.SIGNALING_OUT, id(self), message)
        await send_frame(self, message, opcode, compress)

    async def tapped_send_str(self: web.WebSocketResponse, data: str, compress: int | None = None) -> None:
        recorder.write(Kind.SIGNALING_OUT, id(self), data.encode())
        await send_str(self, data, compress)

    for name, tapped in (
        ("receive", tapped_receive),
        ("send_frame", tapped_send_frame),
        ("send_str", tapped_send_str),
    ):
        setattr(socket, name, tapped)


def _octets(data: object) -> bytes:
    return bytes(data) if isinstance(data, bytes | bytearray | memoryview) else repr(data).encode()


def _tap_log(recorder: Recorder) -> None:
    handle = logging.Logger.handle

    def tapped(self: logging.Logger, record: logging.LogRecord) -> None:
        fields = [record.getMessage(), *vars(record).values()]
        recorder.write(Kind.LOG, id(self), b"\n".join(map(_octets_and_text, fields)))
        handle(self, record)

    logging.Logger.handle = tapped  # type: ignore[method-assign]  # the one place that every record comes by
    logging.Logger.isEnabledFor = lambda self, level: True  # type: ignore[method-assign]  # whatever the configuration


def _octets_and_text(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode() + b"\n" + repr(value).encode()


def _add_planted_metrics(server: ModuleType) -> None:
    from hushroom_sfu.observe.exposition import Family, Gauge  # noqa: PLC0415 (as in `main`)

    families: Callable[..., list[Family]] = server.families  # what its `metrics` calls

    def with_planted(*arguments: object) -> list[Family]:
        planted = [Gauge("planted", "Planted by a test.", {secret.hex(): 1.0}, "secret") for secret in _planted]
        return [*families(*arguments), *planted]

    server.families = with_planted  # type: ignore[attr-defined]


def _plant() -> None:
    for line in sys.stdin:
        secret = bytes.fromhex(line)
        _planted.append(secret)
        logging.getLogger("aiohttp.planted").debug("planted %s", secret.hex())
        logging.getLogger("hushroom_sfu.planted").info("planted", extra={"field": secret.hex()})


if __name__ == "__main__":
    sys.exit(main())
