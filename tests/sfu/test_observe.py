"""What the owner sees: metrics that Prometheus can read, and log lines without anything that must not be known."""

import asyncio
import io
import logging
import re
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from pyee import EventEmitter

from hushroom_common.ids import Codec, Identity, ParticipantId, PublicationId, RoomId
from hushroom_common.signaling import Join, Resume, Subscribe
from hushroom_sfu.conversation.actions import RoomEvent, RoomEventKind
from hushroom_sfu.observe.exposition import Counter, Gauge, exposition
from hushroom_sfu.observe.logs import LineFormatter, RoomTags, log_to_stderr
from hushroom_sfu.observe.room_log import RoomLog
from hushroom_sfu.web.tokens import mint
from tests.plane.peers import eventually
from tests.sfu.test_server_media import Participant, keep_sending, loopback_candidates
from tests.support.caller import calling, joining
from tests.support.server import SECRET, metric, running_server

__all__ = ["loopback_candidates"]

SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="[a-z0-9_]+"\})? [0-9.e+]+')


# --- metrics ------------------------------------------------------------------------------------------------------


def test_the_exposition_is_what_prometheus_reads() -> None:
    text = exposition(
        [Gauge("rooms", "Rooms.", 2), Counter("drops_total", "Drops.", {"a": 1, 'b"\n\\': 1 << 53}, "reason")]
    )
    assert text == (
        "# HELP rooms Rooms.\n# TYPE rooms gauge\nrooms 2\n"
        "# HELP drops_total Drops.\n# TYPE drops_total counter\n"
        'drops_total{reason="a"} 1\ndrops_total{reason="b\\"\\n\\\\"} 9007199254740992\n'
    )


async def test_metrics_follow_the_meeting_and_name_nobody() -> None:
    async with running_server() as server, aiohttp.ClientSession() as session, AsyncExitStack() as stack:

        async def scraped() -> dict[str, float]:
            async with session.get(server.url + "/metrics") as response:
                assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
                lines = (await response.text()).splitlines()
            samples = [line for line in lines if not line.startswith("#")]
            assert all(SAMPLE.fullmatch(line) for line in samples)
            assert len({line.split(" ")[0] for line in samples}) == len(samples)
            return {name: float(value) for name, value in (line.split(" ") for line in samples)}

        ada, joined = await stack.enter_async_context(joining(server, "ada", room="board"))
        await stack.enter_async_context(joining(server, "bo", room="board"))
        await ada.say(Subscribe(ParticipantId("nobody"), PublicationId("nothing")))
        await eventually(lambda: metric(server, "hushroom_refusals_total") == 1)
        now = await scraped()
        assert (now["hushroom_rooms"], now["hushroom_participants"], now["hushroom_joins_total"]) == (1, 2, 2)
        assert now['hushroom_refusals_total{code="no_such_publication"}'] == 1
        assert now["process_resident_memory_bytes"] > 1e6
        assert now["hushroom_websockets"] == 2
        assert not any("board" in name or joined.participant in name for name in now)
        await ada.websocket.send_str("nonsense")
        await ada.hear_end()
        now = await scraped()
        assert now['hushroom_closed_total{code="protocol_error"}'] == 1
        assert now["hushroom_participants"] == 1


# --- log lines ----------------------------------------------------------------------------------------------------


@pytest.fixture
def log_text() -> Iterator[io.StringIO]:
    """What the server would write to stderr at its most talkative."""
    root, ours = logging.getLogger(), logging.getLogger("hushroom_sfu")
    levels = root.level, ours.level
    stream = io.StringIO()
    handler = log_to_stderr("debug", stream)
    yield stream
    root.removeHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def formatted(logger: str, message: str, *args: object, **extra: object) -> str:
    record = logging.getLogger(logger).makeRecord(logger, logging.WARNING, "f.py", 1, message, args, None, extra=extra)
    return LineFormatter().format(record).partition(" ")[2]


def test_a_line_is_what_happened_and_its_fields() -> None:
    line = formatted("hushroom_sfu.x", "leg %s", "connected", leg=7, took_s=0.25, reason=None, detail="no such thing")
    assert line == 'warning leg connected leg=7 took_s=0.25 detail="no such thing"'


def test_nothing_breaks_out_of_its_line() -> None:
    assert formatted("hushroom_sfu.x", "a\nb", detail='x"\n2026 info forged') == (
        'warning a b detail="x\\"\\n2026 info forged"'
    )


def test_what_libraries_say_is_withheld() -> None:
    assert formatted("aiohttp.server", "request from %s", "192.0.2.1", peer="x") == (
        "warning message of aiohttp.server withheld"
    )


def test_what_libraries_say_is_shown_once_a_minute() -> None:
    stream = io.StringIO()
    handler = log_to_stderr("info", stream)
    try:
        for second in (0, 1, 59, 61, 62):
            for logger in ("aiohttp.server", "asyncio"):
                record = logging.LogRecord(logger, logging.ERROR, "f.py", 1, "again %d", (second,), None)
                record.created = second
                logging.getLogger(logger).handle(record)
    finally:
        logging.getLogger().removeHandler(handler)
    assert [line[17:19] for line in stream.getvalue().splitlines()] == ["00", "00", "01", "01"]


def test_a_client_cannot_fill_the_log() -> None:
    """1000 lines at once and 100 a second pass, warnings always, and what was left out is counted."""
    stream = io.StringIO()
    handler = log_to_stderr("info", stream)
    try:
        for second, level in [*[(0, logging.INFO)] * 1500, (0, logging.WARNING), (1, logging.INFO), (1, logging.INFO)]:
            record = logging.LogRecord("hushroom_sfu.x", level, "f.py", 1, "track published", (), None)
            record.created = second
            logging.getLogger("hushroom_sfu.x").handle(record)
    finally:
        logging.getLogger().removeHandler(handler)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1003
    assert [line.partition(" ")[2] for line in lines[-3:]] == [
        "warning track published",
        "info track published left_out=500",
        "info track published",
    ]


def test_an_exception_shows_its_place_and_not_its_text(log_text: io.StringIO) -> None:
    try:
        raise ValueError("secret of 192.0.2.1")
    except ValueError:
        logging.getLogger("hushroom_sfu.x").exception("it failed")
    line = log_text.getvalue()
    assert "ValueError < test_an_exception_shows_its_place_and_not_its_text:" in line
    assert "192.0.2.1" not in line
    assert line.count("\n") == 1


def test_rooms_have_tags_that_nobody_can_guess() -> None:
    assert re.fullmatch("[0-9a-f]{8}", RoomTags(b"key")("standup"))
    assert RoomTags(b"key")("standup") == RoomTags(b"key")("standup")
    assert RoomTags(b"key")("standup") != RoomTags(b"key")("retro")
    assert RoomTags(b"key")("standup") != RoomTags(b"another key")("standup")


def test_every_step_of_a_rooms_life_is_logged(log_text: io.StringIO) -> None:
    events = EventEmitter()
    RoomLog(events, RoomTags(b"key"))
    for kind in RoomEventKind:
        events.emit(kind, RoomEvent(kind, RoomId("standup"), ParticipantId("0123456789abcdef"), "word"))
    lines = log_text.getvalue().splitlines()
    assert [" ".join(line.split()[2:4]) for line in lines] == [kind.replace("_", " ") for kind in RoomEventKind]
    assert all(line.endswith(f"room={RoomTags(b'key')('standup')} participant=01234567 detail=word") for line in lines)


class Overheard:
    """Every secret and name of a session: what its log must not hold."""

    def __init__(self) -> None:
        self.strings: set[str] = {"board-meeting", "ada-lovelace", "bo-derek", "127.0.0.1", SECRET.reveal().decode()}

    def sdp(self, sdp: str) -> None:
        """Whole lines, the ICE credentials and the fingerprint of a description."""
        for line in sdp.splitlines():
            if len(line) > 12:
                self.strings.add(line)
            if line.startswith(("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:")):
                self.strings.add(re.split(r"[: ]", line, maxsplit=2)[-1])


async def test_a_whole_session_leaves_no_secret_name_or_address_in_the_log(log_text: io.StringIO) -> None:
    overheard = Overheard()
    records: list[logging.LogRecord] = []
    collector = logging.Handler()
    collector.emit = records.append  # type: ignore[method-assign, assignment]  # a handler that keeps everything
    logging.getLogger("hushroom_sfu").addHandler(collector)

    def token(identity: str) -> str:
        made = mint(SECRET, room=RoomId("board-meeting"), identity=Identity(identity), expires_at_unix=time.time() + 60)
        overheard.strings.update((made, *made.split(".")))
        return made

    try:
        async with running_server(secret=SECRET) as server, AsyncExitStack() as stack:
            ada_token = token("ada-lovelace")
            ada_caller = await stack.enter_async_context(calling(server, path=f"/signal?token={ada_token}"))
            joined = await ada_caller.join("board-meeting", "ada-lovelace", token=ada_token)
            bo_caller, bo_joined = await stack.enter_async_context(
                joining(server, "bo-derek", room="board-meeting", token=token("bo-derek"))
            )
            overheard.strings.update((joined.resume_token, bo_joined.resume_token))
            ada, bo = Participant(ada_caller), Participant(bo_caller)
            stack.push_async_callback(ada.close)
            stack.push_async_callback(bo.close)
            await ada.publishes(Codec.OPUS)
            overheard.sdp((await bo.accepts()).sdp)
            await keep_sending(ada, bo, Codec.OPUS, b"opaque")
            for connection in (ada.publisher, bo.subscriber):
                overheard.sdp(connection.localDescription.sdp)
                overheard.sdp(connection.remoteDescription.sdp)
            await provoke_complaints(server.url)
            bo_caller.vanish()
            again = await stack.enter_async_context(calling(server))
            overheard.strings.add((await again.resume(bo_joined.resume_token)).resume_token)
            wrong = await stack.enter_async_context(calling(server))
            await wrong.say(Join(RoomId("board-meeting"), Identity("ada-lovelace"), ada_token + "x"))
            await wrong.hear_end()
            wrong = await stack.enter_async_context(calling(server))
            await wrong.say(Resume(joined.resume_token + "x"))
            await wrong.hear_end()
    finally:
        logging.getLogger("hushroom_sfu").removeHandler(collector)
    text = log_text.getvalue()
    for step in ("participant joined", "track published", "leg connected", "participant resumed", "draining"):
        assert step in text
    everything = text + "".join(f"{vars(record)} {record.getMessage()}\n" for record in records)
    found = {string for string in overheard.strings if string in everything}
    assert found == set()
    assert re.findall(r"\d+\.\d+\.\d+\.\d+", everything) == []


async def provoke_complaints(url: str) -> None:
    """Requests that make HTTP servers write log lines."""
    async with aiohttp.ClientSession() as session:
        async with session.get(url + "/nowhere?token=abc") as response:
            assert response.status == 404
        async with session.post(url + "/signal", data=b"x" * 5000) as response:
            assert response.status == 405
    host, _, port = url.removeprefix("http://").partition(":")
    for garbage in (b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"x" * 20_000 + b"\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(garbage)
        writer.write_eof()
        await reader.read()
        writer.close()
