"""The command `hushroom-sfu` as its owner meets it: output, exit codes, signals."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from hushroom_common.ids import Identity, RoomId
from hushroom_common.signaling import CloseCode
from hushroom_sfu.__main__ import main
from hushroom_sfu.settings import read_secret
from hushroom_sfu.web.tokens import TokenGate
from tests.support.caller import Caller

SERVES = re.compile(r"hushroom serves on (http://127\.0\.0\.1:\d+), media on UDP port (\d+)\n")
STARTUP_S = 20.0


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.write_bytes(os.urandom(32).hex().encode() + b"\n")
    return str(path)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HUSHROOM_")]:
        monkeypatch.delenv(name)


@asynccontextmanager
async def process(*flags: str) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hushroom_sfu", *flags, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def first_line(server: asyncio.subprocess.Process) -> re.Match[str]:
    assert server.stdout is not None
    async with asyncio.timeout(STARTUP_S):
        line = (await server.stdout.readline()).decode()
    found = SERVES.fullmatch(line)
    assert found is not None, line
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_serves_and_drains_when_asked_to_stop(number: signal.Signals) -> None:
    async with process("--open", "--port", "0", "--udp-port", "0") as server, aiohttp.ClientSession() as session:
        url = (await first_line(server))[1]
        async with session.get(url + "/health") as response:
            assert (response.status, await response.json()) == (200, {"status": "ok"})
        async with session.ws_connect(url + "/signal") as websocket:
            ada = Caller(websocket)
            await ada.join()
            began = time.monotonic()
            server.send_signal(number)
            closed = await ada.hear_end()
            assert closed is not None
            assert closed.code is CloseCode.SERVER_DRAINING
        assert server.stdout is not None
        assert server.stderr is not None
        async with asyncio.timeout(10):
            assert await server.wait() == 0
        assert time.monotonic() - began < 5
        assert await server.stdout.read() == b""
        assert b"draining" in await server.stderr.read()


async def test_a_port_in_use_is_one_clear_line_and_exit_code_1() -> None:
    async with process("--open", "--port", "0", "--udp-port", "0") as first:
        found = await first_line(first)
        port = found[1].rpartition(":")[2]
        for flags in (("--port", port, "--udp-port", "0"), ("--port", "0", "--udp-port", found[2])):
            async with process("--open", *flags) as second, asyncio.timeout(STARTUP_S):
                out, err = await second.communicate()
            assert second.returncode == 1
            assert out == b""
            assert err.count(b"\n") == 1
            assert b"is in use: stop what uses it, or give another" in err


def test_misuse_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["--open", "--port", "70000"]) == 2
    assert "--port 70000 is not between 0 and 65535" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["--no-such-flag"])
    assert caught.value.code == 2


def test_an_address_of_another_machine_is_exit_code_1(capsys: pytest.CaptureFixture[str], secret_file: str) -> None:
    assert main(["--secret-file", secret_file, "--host", "192.0.2.1", "--port", "0", "--udp-port", "0"]) == 1
    assert "192.0.2.1 is no address of this machine" in capsys.readouterr().err


def test_a_minted_token_opens_its_room(capsys: pytest.CaptureFixture[str], secret_file: str) -> None:
    flags = ["token", "--secret-file", secret_file, "--room", "stand up", "--identity", "Ada L."]
    assert main([*flags, "--expires-in", "2h", "--no-publish"]) == 0
    token = capsys.readouterr().out
    assert token.endswith("\n")
    gate = TokenGate(read_secret(secret_file), time.time)
    grants = gate(RoomId("stand up"), Identity("Ada L."), token.strip(), 0.0)
    assert (grants.may_publish, grants.may_subscribe) == (False, True)
    assert grants.expires_at is not None
    assert 7190 < grants.expires_at <= 7205


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--room", "r", "--identity", "i", "--expires-in", "soon"], "use one like 90s, 15m, 1h or 7d"),
        (["--room", "r", "--identity", "i", "--expires-in", "0h"], "use one like 90s, 15m, 1h or 7d"),
        (["--room", "r" * 65, "--identity", "i"], "join.room must be 1 to 64 characters"),
        (["--room", "r", "--identity", "a\nb"], "join.identity must be 1 to 64 characters"),
    ],
)
def test_a_token_that_nobody_could_use_is_not_minted(
    capsys: pytest.CaptureFixture[str], secret_file: str, flags: list[str], says: str
) -> None:
    assert main(["token", "--secret-file", secret_file, *flags]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert says in output.err


def test_a_token_needs_the_servers_secret(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["token", "--room", "r", "--identity", "i"]) == 2
    assert "--secret-file FILE is needed" in capsys.readouterr().err
    (tmp_path / "short").write_bytes(b"short")
    assert main(["token", "--secret-file", str(tmp_path / "short"), "--room", "r", "--identity", "i"]) == 2
    assert "has 5 bytes, it needs 32" in capsys.readouterr().err


def test_help_names_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for flag in re.findall(r"--([a-z-]+) ", text):
        if flag not in ("help", "version"):
            assert f"HUSHROOM_{flag.replace('-', '_').upper()}" in text
