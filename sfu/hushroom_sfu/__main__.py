"""The command `hushroom-sfu`: serves until it is told to stop. `hushroom-sfu token` makes a token.

Exit code 0 when it was asked to stop, 1 when it could not serve, 2 when it was called the wrong way.
"""

import argparse
import asyncio
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version

from hushroom_common.errors import WireError
from hushroom_common.ids import Identity, RoomId
from hushroom_common.signaling import Join, decode_client, encode
from hushroom_sfu.config import Config, ConfigError
from hushroom_sfu.observe.logs import log_to_stderr
from hushroom_sfu.server import Server
from hushroom_sfu.settings import add_server_flags, read_config, read_secret
from hushroom_sfu.start_error import StartError
from hushroom_sfu.web.tokens import mint

__all__ = ["main"]

_EXAMPLES = """\
examples:
  hushroom-sfu --open                       anyone on this machine may join
  hushroom-sfu --secret-file secret         tokens decide: see `hushroom-sfu token --help`

Every flag can be given as a variable instead, as in brackets; flags win.
"""
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["token"]:
            return _token(arguments[1:])
        return _serve(arguments)
    except ConfigError as error:
        print(f"hushroom-sfu: {error}", file=sys.stderr)
        return 2
    except StartError as error:
        print(f"hushroom-sfu: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1  # asked twice


def _serve(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="hushroom-sfu",
        description="A meeting server that forwards frames it cannot open.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"hushroom-sfu {version('hushroom-sfu')}")
    add_server_flags(parser)
    config = read_config(parser.parse_args(argv), os.environ)
    handler = log_to_stderr(config.log_level)
    _raise_file_limit()
    try:
        asyncio.run(_run(config))
    finally:
        logging.getLogger().removeHandler(handler)
    return 0


def _raise_file_limit() -> None:
    """A WebSocket needs a file descriptor, and shells often allow 1024 of the many that the system does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _run(config: Config) -> None:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()

    def stop() -> None:
        told_to_stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)  # who asks again does not want to wait

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    async with Server(config) as server:
        print(f"hushroom serves on {server.url}, media on UDP port {server.udp_port}", flush=True)
        await told_to_stop.wait()


def _token(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="hushroom-sfu token", description="Print a token for one participant of one room.", allow_abbrev=False
    )
    parser.add_argument("--secret-file", metavar="FILE", help="the server's [HUSHROOM_SECRET_FILE]")
    parser.add_argument("--room", required=True, metavar="ROOM")
    parser.add_argument("--identity", required=True, metavar="NAME")
    parser.add_argument("--no-publish", action="store_true", help="may not publish")
    parser.add_argument("--no-subscribe", action="store_true", help="may not receive")
    parser.add_argument("--expires-in", default="1h", metavar="TIME", help="like 90s, 15m, 1h or 7d (default 1h)")
    arguments = parser.parse_args(argv)
    where, path = "--secret-file", arguments.secret_file
    if not path:
        where, path = "HUSHROOM_SECRET_FILE", os.environ.get("HUSHROOM_SECRET_FILE")
    if not path:
        raise ConfigError("--secret-file FILE is needed: the one that the server has")
    secret = read_secret(path, where)
    expires_in_s = _duration_s(arguments.expires_in)
    try:
        decode_client(encode(Join(RoomId(arguments.room), Identity(arguments.identity))))
    except WireError as error:
        raise ConfigError(f"--room and --identity are as in a join: {error}") from None
    print(
        mint(
            secret,
            room=RoomId(arguments.room),
            identity=Identity(arguments.identity),
            expires_at_unix=time.time() + expires_in_s,
            may_publish=not arguments.no_publish,
            may_subscribe=not arguments.no_subscribe,
        )
    )
    return 0


def _duration_s(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and len(number) <= 6 and int(number) > 0 and unit in _UNITS_S):
        raise ConfigError(f"--expires-in {text!r} is no duration: use one like 90s, 15m, 1h or 7d")
    return int(number) * _UNITS_S[unit]


if __name__ == "__main__":
    sys.exit(main())
