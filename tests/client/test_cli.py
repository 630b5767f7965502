"""The command `hushroom`: what it takes, what it says, how it ends. Rooms are real, commands are processes."""

import asyncio
import io
import signal
import time
from pathlib import Path

import pytest

from hushroom_client import E2EEState, RejectReason, RoomStats, TrackSubscribed, Video
from hushroom_client.__main__ import main
from hushroom_client.cli.arguments import Misuse, parse
from hushroom_client.cli.terminal import Terminal
from hushroom_client.cli.words import status
from hushroom_common.ids import Identity, RoomId
from hushroom_sfu.web.tokens import mint
from tests.support.judges import judge_pictures, judge_tone
from tests.support.processes import Command, hushroom, server_process
from tests.support.rooms import PASSPHRASE, next_event, rooms, sealed
from tests.support.server import SECRET, running_server
from tests.support.talk_media import Talk, make_talk

TALK = Talk(width=320, height=180, fps=30, duration_s=4.0)
LK1 = ("--profile", "lk1", "--passphrase-file")


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    file = tmp_path / "words.txt"
    file.write_text(f"{PASSPHRASE}\n")
    return file


# --- called the wrong way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "COMMAND"),
        ("joyn standup", "joyn"),
        ("join", "ROOM"),
        ("join standup --unsealed", "add --as NAME"),
        ("join standup --as ada", "or --unsealed"),
        ("join standup --as ada", "add --profile lk1 --passphrase-file FILE"),
        ("join standup --as ada --profile lk1", "add --passphrase-file FILE"),
        ("join standup --as ada --passphrase-file words.txt", "add --profile lk1"),
        ("join standup --as ada --profile rot13 --passphrase-file words.txt", "lk1"),
        ("join standup --as ada --unsealed --profile lk1", "leave one or the other out"),
        ("join standup --as ada --profile lk1 --passphrase-file nowhere.txt", "No such file"),
        ("join standup --as ada --profile lk1 --passphrase-file /dev/null", "must hold one line"),
        ("join standup --token-file nowhere.txt --unsealed", "a token for this room"),
        ("join standup --as ada --unsealed --duration soon", "--duration"),
        ("join standup --as ada --unsealed --duration 0", "above 0"),
        ("join standup --as ada --unsealed --passphrase secret", "--passphrase"),
        ("record standup --unsealed", "DIR"),
        ("join standup --as ada --unsealed --server gopher://meet.example", "must be like http://"),
        ("join standup --as ada --unsealed --server http://ada:secret@meet.example", "must be like http://"),
    ],
)
def test_misuse_is_one_line_that_says_what_would_work(
    arguments: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("hushroom: ")
    assert says in err
    assert "secret@" not in err


def test_names_have_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["join", "x" * 65, "--as", "ada", "--unsealed"]) == 1
    assert "1 to 64 characters" in capsys.readouterr().err


def test_options_are_what_was_said(passphrase: Path) -> None:
    options = parse(["record", "standup", "out", *LK1, str(passphrase), "--duration", "2.5"])
    assert (options.room, options.identity, options.record) == ("standup", "recorder", Path("out"))
    assert (options.server, options.duration_s, options.publish) == ("http://127.0.0.1:8080", 2.5, None)
    assert options.e2ee is not None
    assert PASSPHRASE not in repr(options)
    assert parse(["join", "standup", "--as", "ada", "--unsealed"]).e2ee is None


def test_a_passphrase_of_two_lines_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("correct horse\nbattery staple\n")
    with pytest.raises(Misuse, match="one line"):
        parse(["join", "standup", "--as", "ada", *LK1, str(file)])


# --- what it says ---------------------------------------------------------------------------------------------------


def test_the_status_line_says_everything_in_words() -> None:
    stats = RoomStats(1234, {RejectReason.AUTHENTICATION: 5}, received_bps=512_300, sent_bps=64_000)
    others = {"cy": E2EEState.DIFFERENT_KEY, "bo": E2EEState.OPENING}
    assert status(others, stats, is_sealed=True) == (
        "3 participants (bo: opening, cy: different key) | opened 1234, rejected 5 (5 authentication)"
        " | in 512 kb/s, out 64 kb/s | sealed"
    )
    assert status({}, RoomStats(7, {}, 0, 0), is_sealed=False) == (
        "nobody else is here | received 7 | in 0 kb/s, out 0 kb/s | NOT SEALED"
    )


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_live_status_is_overwritten_and_a_piped_one_is_lines() -> None:
    screen, pipe = _Screen(), io.StringIO()
    for stream in (screen, pipe):
        terminal = Terminal(stream)
        terminal.status("one", 0.0)
        terminal.status("two", 0.5)
        terminal.note("bo is here")
        terminal.status("three", 6.0)
        terminal.close("last")
    assert screen.getvalue() == "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[Kbo is here\n\r\x1b[Kthree\r\x1b[Klast\n"
    assert pipe.getvalue() == "one\nbo is here\nthree\nlast\n"


# --- two commands in a room -----------------------------------------------------------------------------------------


async def test_two_commands_talk_and_record_each_other(tmp_path: Path, passphrase: Path) -> None:
    talk = await asyncio.to_thread(make_talk, tmp_path / "talk.webm", TALK)
    common = ("--publish", talk, "--wait-for", "1", *LK1)
    async with (
        running_server() as server,
        hushroom(
            "join", "standup", "--as", "ada", "--server", server.url, "--record", tmp_path / "a", *common, passphrase
        ) as ada,
        hushroom(
            "join", "standup", "--as", "bo", "--server", server.url, "--record", tmp_path / "b", *common, "-",
            stdin=f"{PASSPHRASE}\n".encode(),
        ) as bo,
    ):  # fmt: skip
        assert (await ada.ends(), await bo.ends()) == (0, 0), (ada.stderr, bo.stderr)
    assert ada.stdout == f"{tmp_path}/a/bo.webm\n"
    assert bo.stdout == f"{tmp_path}/b/ada.webm\n"
    for command in (ada, bo):
        assert "sealed end to end (lk1)" in command.errors[0]
        assert PASSPHRASE not in command.stdout + command.stderr
        assert "rejected 0" in command.errors[-1]
    for recording in (tmp_path / "a" / "bo.webm", tmp_path / "b" / "ada.webm"):
        # Whole and in sync to the frame is for tests/meeting/test_recordings.py, which has the machine to itself.
        pictures = await asyncio.to_thread(judge_pictures, recording, TALK)
        assert pictures.fraction_in_order >= 0.5
        assert pictures.mean_error < 6
        assert judge_tone(recording).frequency_hz == pytest.approx(440, abs=5)


async def test_a_wrong_passphrase_is_said_and_records_nothing(tmp_path: Path) -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada = await people.join("ada", sealed())
        await ada.publish(Video.test_pattern(320, 180, 15))
        record = ("record", "standup", tmp_path / "out", "--server", server.url, "--duration", "8")
        async with hushroom(*record, *LK1, "-", stdin=b"wrong horse\n") as recorder:
            await recorder.says("cannot open ada's frames: different key?")
            await recorder.says("ada: different key")
            recorder.process.send_signal(signal.SIGINT)
            assert await recorder.ends() == 1
    assert recorder.stdout == ""
    assert "no frame could be opened" in recorder.errors[-1]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada = await people.join("ada", None)
        join = ("join", "standup", "--as", "bo", "--server", server.url, "--publish", "test-pattern", "--unsealed")
        async with hushroom(*join) as bo:
            await next_event(ada, TrackSubscribed)
            assert "NOT SEALED" in await bo.says("joined standup as bo")
            bo.process.send_signal(number)
            assert await bo.ends() == 0
        assert not any(line.startswith("hushroom:") for line in bo.errors)


async def test_it_stays_as_long_as_it_is_told() -> None:
    async with running_server() as server:
        began = time.monotonic()
        join = ("join", "standup", "--as", "bo", "--server", server.url, "--unsealed", "--duration", "0.5")
        async with hushroom(*join) as bo:
            assert await bo.ends() == 0
        assert time.monotonic() - began < 10


# --- what goes wrong ------------------------------------------------------------------------------------------------


async def test_each_thing_that_goes_wrong_has_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_text("this is no video")
    (tmp_path / "file").write_text("")
    expired = mint(SECRET, room=RoomId("standup"), identity=Identity("ada"), expires_at_unix=time.time() - 60)
    (tmp_path / "token").write_text(expired)
    async with running_server(secret=SECRET) as server, running_server() as open_server:
        here, open_there = ("--server", server.url), ("--server", open_server.url)
        cases: list[tuple[tuple[str | Path, ...], str]] = [
            (("--server", "http://127.0.0.1:9"), "nothing listens there"),
            ((*here,), "does not accept the token"),
            ((*here, "--token-file", tmp_path / "token"), "token has expired"),
            ((*open_there, "--publish", "nowhere.mp4"), "no such file"),
            ((*open_there, "--publish", tmp_path / "no.mp4"), "not a media file"),
            ((*open_there, "--record", tmp_path / "file"), "cannot record into"),
            (("--server", f"{open_server.url}/health"), "not as a hushroom server"),
        ]
        for arguments, says in cases:
            async with hushroom("join", "standup", "--as", "ada", "--unsealed", *arguments) as command:
                assert await command.ends() == 1, command.stderr
            _is_one_line(command, says)


async def test_joined_elsewhere_is_said() -> None:
    async with running_server() as server, rooms(server.url) as people:
        join = ("join", "standup", "--server", server.url, "--unsealed")
        async with hushroom(*join, "--as", "ada") as ada, hushroom(*join, "--as", "bo") as bo:
            await ada.says("joined standup")
            await bo.says("ada is here")
            await people.join("ada", None)
            assert await ada.ends() == 1
            assert "joined elsewhere" in ada.errors[-1]
            await bo.says("ada joined again from elsewhere")
            bo.process.send_signal(signal.SIGTERM)
            assert await bo.ends() == 0


async def test_a_server_that_goes_down_is_said() -> None:
    join = ("join", "standup", "--unsealed", "--as", "ada", "--server")
    async with server_process() as server, hushroom(*join, server.url) as ada:
        await ada.says("joined standup")
        server.process.terminate()
        assert await ada.ends() == 1
        assert "the server is going down" in ada.errors[-1]


def _is_one_line(command: Command, says: str) -> None:
    assert command.stdout == ""
    last = command.errors[-1]
    assert last.startswith("hushroom: ")
    assert says in last
    assert len([line for line in command.errors if line.startswith("hushroom: ")]) == 1
    assert "Traceback" not in command.stderr
