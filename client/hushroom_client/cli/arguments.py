"""What the command line says, as one frozen dataclass; whatever cannot work is refused with what would."""

import argparse
import getpass
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from hushroom_client.e2ee import E2EEManager, SharedKeyProvider
from hushroom_client.e2ee.manager import PROFILES
from hushroom_common.errors import HushroomError

__all__ = ["TEST_PATTERN", "Misuse", "Options", "parse", "read_token"]

DEFAULT_SERVER = "http://127.0.0.1:8080"
TEST_PATTERN = "test-pattern"
_RECORDER = "recorder"
_LARGEST_FILE = 65_536
_EXAMPLES = """\
examples:
  hushroom join standup --as ada --publish talk.mp4 --profile lk1 --passphrase-file words.txt
  hushroom join standup --as bo --publish test-pattern --unsealed
  hushroom record standup out/ --profile lk1 --passphrase-file -

A passphrase is read from a file, or with - from standard input. Exit code 0: done, 1: failed, 2: misused.
"""


class Misuse(HushroomError):
    """The command was called in a way that cannot work; the message says what to add or change."""


@dataclass(frozen=True, slots=True)
class Options:
    """One stay in a room. Without `e2ee` it is unsealed, and the user said so."""

    room: str
    server: str
    identity: str | None
    token: str | None
    token_file: str | None
    e2ee: E2EEManager | None
    publish: str | None = None
    record: Path | None = None
    duration_s: float | None = None
    wait_for: int = 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Misuse(f"{message}; see {self.prog} --help")


def parse(argv: Sequence[str]) -> Options:
    """Reads the command line, and the files of secrets that it names. Raises Misuse."""
    found = _parser().parse_args(argv)
    token = read_token(found.token_file) if found.token_file is not None else None
    name: str | None = found.name
    if name is None and token is None:
        name = found.usual_name
    if name is None and token is None:
        raise Misuse(f"who joins? add --as NAME, as in: hushroom join {found.room} --as ada")
    return Options(
        room=found.room,
        server=found.server,
        identity=name,
        token=token,
        token_file=found.token_file,
        e2ee=_sealing(found),
        publish=found.publish,
        record=found.record,
        duration_s=found.duration,
        wait_for=found.wait_for,
    )


def read_token(path: str) -> str:
    """The token in a file. Raises Misuse."""
    return _read_secret(path, "--token-file", "a token for this room and name")


def _parser() -> argparse.ArgumentParser:
    connection = _Parser(add_help=False, allow_abbrev=False)
    connection.add_argument("room", metavar="ROOM", help="the room's name")
    add = connection.add_argument
    add("--server", default=DEFAULT_SERVER, metavar="URL", help=f"the server's address (default {DEFAULT_SERVER})")
    add("--token-file", metavar="FILE", help="a file with the token; none where the server is --open")
    add("--profile", choices=PROFILES, help="how media is sealed; all in the room say the same")
    add("--passphrase-file", metavar="FILE", help="a file with the room's passphrase, or - for standard input")
    add("--unsealed", action="store_true", help="seal nothing: whoever runs the server can see and hear everything")
    add("--duration", type=_seconds, metavar="SECONDS", help="leave after so long")

    parser = _Parser(
        prog="hushroom",
        description="Meetings through a server that cannot listen.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"hushroom {version('hushroom-client')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    join = commands.add_parser("join", parents=[connection], help="be in a room", allow_abbrev=False)
    join.add_argument("--as", dest="name", metavar="NAME", help="who you are, unless a token says so")
    join.add_argument(
        "--publish", metavar="FILE", help=f"a video or sound file to show to the others, or {TEST_PATTERN}"
    )
    join.add_argument("--record", type=Path, metavar="DIR", help="a folder for recordings, one file a participant")
    join.add_argument(
        "--wait-for",
        type=_count,
        default=0,
        metavar="N",
        help="publish once N others are in the room (default 0)",
    )
    join.set_defaults(usual_name=None)

    record = commands.add_parser("record", parents=[connection], help="record a room", allow_abbrev=False)
    record.add_argument("record", type=Path, metavar="DIR", help="a folder for recordings, one file a participant")
    record.add_argument(
        "--as", dest="name", metavar="NAME", help=f"who you are, unless a token says so (default {_RECORDER})"
    )
    record.set_defaults(publish=None, wait_for=0, usual_name=_RECORDER)
    return parser


def _sealing(found: argparse.Namespace) -> E2EEManager | None:
    how = "--profile lk1 --passphrase-file FILE (- for standard input)"
    if found.unsealed:
        if found.profile is not None or found.passphrase_file is not None:
            raise Misuse("--unsealed excludes --profile and --passphrase-file: leave one or the other out")
        return None
    if found.profile is None:
        if found.passphrase_file is not None:
            raise Misuse("a passphrase, but for which profile? add --profile lk1")
        raise Misuse(f"how is media sealed? add {how}, or --unsealed for a room that the server can listen to")
    if found.passphrase_file is None:
        raise Misuse("--profile needs a passphrase: add --passphrase-file FILE (- for standard input)")
    passphrase = _read_secret(found.passphrase_file, "--passphrase-file", "the room's passphrase")
    return E2EEManager(key_provider=SharedKeyProvider(passphrase), profile=found.profile)


def _read_secret(path: str, flag: str, content: str) -> str:
    """The one line of a file, or of standard input."""
    try:
        if path == "-":
            data = _read_stdin(content)
        else:
            with Path(path).open("rb") as file:
                data = file.read(_LARGEST_FILE + 1)
        text = data.decode().rstrip("\r\n")
    except OSError as error:
        raise Misuse(f"{flag} {path}: {error.strerror}; name a file with {content}") from None
    except UnicodeError:
        raise Misuse(f"{flag} {path} is not UTF-8 text; name a file with {content}") from None
    if not text or len(data) > _LARGEST_FILE or "\n" in text:
        raise Misuse(f"{flag} {path} must hold one line: {content}")
    return text


def _read_stdin(content: str) -> bytes:
    if sys.stdin.isatty():
        return getpass.getpass(f"{content.capitalize()}: ").encode()
    return sys.stdin.buffer.read(_LARGEST_FILE + 1)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e7:
        raise argparse.ArgumentTypeError("use a number of seconds above 0, such as 60")
    return seconds


def _count(text: str) -> int:
    count = int(text)
    if not 0 <= count <= 1000:
        raise argparse.ArgumentTypeError("use a number of participants, such as 1")
    return count
