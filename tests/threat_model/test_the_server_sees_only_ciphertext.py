"""What the server held while two people talked through it: packets, messages, log, metrics and its whole memory.

Each claim has a control beside it: the same search on the same talk without sealing, or on what was planted.
"""

import asyncio
from dataclasses import dataclass

import aiohttp
import pytest

from hushroom_client import Room
from hushroom_common.ids import Kind
from tests.support.threat.canaries import Canaries
from tests.support.threat.channels import CHANNELS, Search, search
from tests.support.threat.held_media import LIKENESS, Stream, Viewer, opus_frames, streams_in, tone_share, vp8_frames
from tests.support.threat.media import Repeated
from tests.support.threat.talking import PASSPHRASE, HeldCall, eventually, secrets_of
from tests.support.threat.tap import Kind as TapKind
from tests.support.threat.tapped_process import TappedServer, running_tapped_server

AUDIBLE = 0.4
"""Of all energy, at the talk's two tones: less than half of what the talk itself has there."""

LEAST_BYTES = {
    "rtp": 100_000,
    "rtcp": 1000,
    "signaling": 10_000,
    "log records": 5000,
    "log file": 1000,
    "metrics": 5000,
    "memory": 20_000_000,
}
"""Less than that, and the search did not see the call."""


# --- the call ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "unsealed"])
def test_the_talk_that_was_tapped_did_arrive(sealed: bool, request: pytest.FixtureRequest) -> None:
    call: HeldCall = request.getfixturevalue("sealed_call" if sealed else "unsealed_call")
    assert set(call.received[Kind.VIDEO]) <= set(call.pictures)
    assert set(call.received[Kind.AUDIO]) <= set(call.sounds)
    assert len(call.received[Kind.VIDEO]) > len(call.pictures) * 0.8
    assert len(call.received[Kind.AUDIO]) > len(call.sounds) * 0.8
    assert call.last_step >= 5 if sealed else call.last_step == 0


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "unsealed"])
def test_the_tap_missed_no_packet(sealed: bool, request: pytest.FixtureRequest) -> None:
    """Every frame went in once and out to one subscriber: that many packets of sound were taken, both ways."""
    call: HeldCall = request.getfixturevalue("sealed_call" if sealed else "unsealed_call")
    for direction, sent in ((TapKind.RTP_IN, call.sounds), (TapKind.RTP_OUT, call.received[Kind.AUDIO])):
        assert max(len(stream.packets) for stream in streams(call, direction)) >= len(sent)


# --- plaintext and keys -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", CHANNELS)
def test_neither_plaintext_nor_keys_are_in(channel: str, sealed_call: HeldCall) -> None:
    for one in sealed_call.searches:
        assert one.findings[channel] == []
    assert sealed_call.searches[-1].searched_bytes[channel] > LEAST_BYTES[channel]


def test_hardly_anything_is_left_out_of_the_search(sealed_call: HeldCall) -> None:
    assert sealed_call.coverage.secrets > 400
    assert sealed_call.coverage.fraction > 0.999
    assert sealed_call.coverage.skipped_words < sealed_call.coverage.words / 1000


@pytest.mark.parametrize("channel", ["rtp", "memory"])
def test_without_sealing_frames_are_found_in(channel: str, unsealed_call: HeldCall) -> None:
    for one in unsealed_call.searches:
        assert one.findings[channel]
    assert unsealed_call.searches[-1].searched_bytes[channel] > LEAST_BYTES[channel]


# --- what is planted --------------------------------------------------------------------------------------------------

PLANTED = ("passphrase", "frame key of step 2", "material of step 1", "sound")


@dataclass(frozen=True)
class Planted:
    by_secret: dict[str, Search]


@pytest.fixture(scope="module")
def planted(unsealed_call: HeldCall, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A server on which somebody put the secrets of the sealed call wherever they can be put."""
    secrets = secrets_of(PASSPHRASE, 3) | {"sound": unsealed_call.sounds[len(unsealed_call.sounds) // 2][1:]}
    with running_tapped_server(tmp_path_factory.mktemp("planted")) as server:
        asyncio.run(asyncio.wait_for(plant(server, [secrets[name] for name in PLANTED]), 60))
        return Planted({name: search(server, only(name, secrets[name])) for name in PLANTED})


def only(name: str, secret: bytes) -> Canaries:
    canaries = Canaries()
    canaries.add(name, secret)
    return canaries


async def plant(server: TappedServer, secrets: list[bytes]) -> None:
    for secret in secrets:
        server.plant(secret)
        async with aiohttp.ClientSession() as session, session.ws_connect(server.url + "/signal") as websocket:
            await websocket.send_str(f'{{"type": "join", "room": "{secret.hex()}"}}')
            await websocket.receive()
    async with await Room.join(server.url, room="standup", identity="mole", e2ee=None) as room:
        track = await room.publish(Repeated(b"\x78" + b"".join(secrets)))
        await eventually(lambda: track.frames_sent > 20)
        application_defined = b"\x80\xcc" + (2 + len(b"".join(secrets)) // 4).to_bytes(2, "big") + b"\0\0\0\1mole"
        await say_in_rtcp(room, application_defined + b"".join(secrets))
        await eventually(lambda: any(b"mole" in record.data for record in server.records(TapKind.RTCP_IN)))
    await eventually(lambda: all(secret.hex().encode() in server.log_file() for secret in secrets))


async def say_in_rtcp(room: Room, packet: bytes) -> None:
    """By the connection on which the room publishes."""
    connection = room._conversation.publisher._connection
    assert connection is not None
    dtls = connection._peer.connection.getTransceivers()[0].sender.transport
    await dtls._send_rtp(packet)


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("channel", CHANNELS)
def test_what_is_planted_is_found_in(channel: str, name: str, planted: Planted) -> None:
    assert planted.by_secret[name].findings[channel], f"{name} in {channel}"


# --- pictures and sound -----------------------------------------------------------------------------------------------


def streams(call: HeldCall, *directions: TapKind) -> list[Stream]:
    return streams_in(record for record in call.records if record.kind in directions)


def test_codecs_make_no_picture_of_what_the_server_holds(sealed_call: HeldCall, viewer: Viewer) -> None:
    held = streams(sealed_call, TapKind.RTP_IN, TapKind.RTP_OUT)
    assert len([stream for stream in held if len(vp8_frames(stream)) > 60]) >= 2
    for stream in held:
        assert viewer.nearest(vp8_frames(stream)) > LIKENESS
        assert viewer.nearest(opus_frames(stream)) > LIKENESS


def test_without_sealing_codecs_show_the_picture(unsealed_call: HeldCall, viewer: Viewer) -> None:
    for direction in (TapKind.RTP_IN, TapKind.RTP_OUT):
        distances = [viewer.nearest(vp8_frames(stream)) for stream in streams(unsealed_call, direction)]
        assert min(distances) < LIKENESS / 2


def test_codecs_make_no_sound_of_what_the_server_holds(sealed_call: HeldCall) -> None:
    held = streams(sealed_call, TapKind.RTP_IN, TapKind.RTP_OUT)
    assert len([stream for stream in held if len(opus_frames(stream)) > 200]) >= 2
    for stream in held:
        assert tone_share(opus_frames(stream)) < AUDIBLE
        assert tone_share(vp8_frames(stream)) < AUDIBLE


def test_without_sealing_codecs_play_the_tone(unsealed_call: HeldCall) -> None:
    for direction in (TapKind.RTP_IN, TapKind.RTP_OUT):
        shares = [tone_share(opus_frames(stream)) for stream in streams(unsealed_call, direction)]
        assert max(shares) > 2 * AUDIBLE
