"""What people get wrong, and what they are told: one clear line and an exit code, from the commands themselves."""

import signal
import time
from pathlib import Path

import pytest

from hushroom_client.lifeline import RESUME_WINDOW_S
from hushroom_common.ids import Identity, RoomId
from hushroom_common.secret import Secret
from hushroom_sfu.web.tokens import mint
from tests.support.processes import Command, hushroom, server_process
from tests.support.talk_media import Talk, make_talk

DONE, FAILED, MISUSED = 0, 1, 2
UNSEALED = ("--unsealed",)


def file_with(path: Path, text: str) -> Path:
    path.write_text(text + "\n")
    return path


def sealed_by(path: Path) -> tuple[str | Path, ...]:
    return ("--profile", "lk1", "--passphrase-file", path)


async def one_line(command: Command, exit_code: int) -> str:
    """The only thing that a command says, when it ends with that code."""
    assert await command.ends() == exit_code, command.stderr
    assert len(command.errors) == 1, command.stderr
    assert command.stdout == ""
    return command.errors[0]


async def test_a_wrong_passphrase_is_told_and_nothing_is_recorded(tmp_path: Path) -> None:
    right, wrong = (
        file_with(tmp_path / "right", "seven right words"),
        file_with(tmp_path / "wrong", "seven wrong words"),
    )
    async with server_process() as server:
        ada_is = ("join", "standup", "--server", server.url, "--as", "ada", "--publish", "test-pattern")
        bo_is = ("join", "standup", "--server", server.url, "--as", "bo", "--record", tmp_path / "of bo")
        async with (
            hushroom(*ada_is, *sealed_by(right)) as ada,
            hushroom(*bo_is, *sealed_by(wrong), "--duration", "4") as bo,
        ):
            await ada.says("joined standup")
            assert await bo.says("cannot open") == "cannot open ada's frames: different key?"
            assert await bo.ends() == FAILED
            assert "different key" in bo.errors[-1], "it was asked to record, and could not"
            status = bo.errors[-2]
            assert "ada: different key" in status
            assert "opened 0, rejected" in status
            assert "rejected 0" not in status
            assert bo.stdout == ""
            assert list((tmp_path / "of bo").iterdir()) == []
            ada.process.send_signal(signal.SIGINT)
            assert await ada.ends() == DONE
            assert not any("Traceback" in text for text in (ada.stderr, bo.stderr, server.stderr))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"minutes of the last meeting\n" * 100, "cannot"),
        (b"", "cannot"),
    ],
    ids=["missing", "no media", "empty"],
)
async def test_a_file_that_cannot_be_shown_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "talk.mp4"
    if content is not None:
        path.write_bytes(content)
    async with hushroom("join", "standup", "--as", "ada", "--publish", path, *UNSEALED) as ada:
        line = await one_line(ada, FAILED)
        assert str(path) in line
        assert says in line


async def test_a_codec_that_nobody_knows_is_named_as_such(tmp_path: Path) -> None:
    talk = make_talk(tmp_path / "talk.webm", Talk(width=160, height=96, duration_s=1, with_sound=False))
    talk.write_bytes(talk.read_bytes().replace(b"V_VP8", b"V_XYZ"))
    async with (
        server_process() as server,
        hushroom("join", "standup", "--server", server.url, "--as", "ada", "--publish", talk, *UNSEALED) as ada,
    ):
        assert await ada.ends() == FAILED, ada.stderr
        assert "Traceback" not in ada.stderr
        assert str(talk) in ada.errors[-1]
        assert "codec" in ada.errors[-1]


async def test_nobody_serves_there() -> None:
    async with server_process() as server:
        url = server.url
    host = url.removeprefix("http://")
    async with hushroom("join", "standup", "--server", url, "--as", "ada", *UNSEALED) as ada:
        assert host in await one_line(ada, FAILED)


async def test_an_expired_token_lets_nobody_in(tmp_path: Path) -> None:
    secret = "a secret of the tests, 32 bytes or more"
    expired = mint(
        Secret(secret.encode()), room=RoomId("standup"), identity=Identity("ada"), expires_at_unix=time.time() - 60
    )
    token, secret_file = file_with(tmp_path / "token", expired), file_with(tmp_path / "secret", secret)
    async with (
        server_process("--secret-file", secret_file, is_open=False) as server,
        hushroom("join", "standup", "--server", server.url, "--token-file", token, *UNSEALED) as ada,
    ):
        assert "expired" in await one_line(ada, FAILED)
        assert expired not in server.stderr


async def test_a_token_that_ends_meanwhile_ends_the_call(tmp_path: Path) -> None:
    secret = "a secret of the tests, 32 bytes or more"
    short = mint(
        Secret(secret.encode()), room=RoomId("standup"), identity=Identity("ada"), expires_at_unix=time.time() + 2
    )
    token, secret_file = file_with(tmp_path / "token", short), file_with(tmp_path / "secret", secret)
    async with (
        server_process("--secret-file", secret_file, is_open=False) as server,
        hushroom("join", "standup", "--server", server.url, "--token-file", token, *UNSEALED) as ada,
    ):
        await ada.says("joined standup")
        assert await ada.ends() == FAILED
        assert "expired" in ada.errors[-1]


@pytest.mark.timeout(120)
async def test_a_server_that_is_gone_is_looked_for_and_then_given_up() -> None:
    async with (
        server_process() as server,
        hushroom(
            "join", "standup", "--server", server.url, "--as", "ada", "--publish", "test-pattern", *UNSEALED
        ) as ada,
    ):
        await ada.says("joined standup")
        server.process.kill()
        began = time.monotonic()
        await ada.says("the server is gone")
        assert await ada.ends(within_s=RESUME_WINDOW_S + 10) == FAILED
        assert time.monotonic() - began > RESUME_WINDOW_S - 5
        assert "could not be reached" in ada.errors[-1]
        assert "Traceback" not in ada.stderr
