"""The SDK against a real server: rooms in one process, with real ICE, DTLS, SRTP, codecs and keys."""

import asyncio
import logging
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hushroom_client import (
    Audio,
    ConnectionLost,
    E2EEState,
    E2EEStateChanged,
    EncodedFrame,
    Event,
    FrameRejected,
    JoinFailed,
    LocalTrack,
    MediaError,
    ParticipantJoined,
    ParticipantKeyProvider,
    Recorder,
    RejectReason,
    RequestRefused,
    Room,
    RoomClosed,
    TrackMuted,
    TrackPublished,
    TrackSubscribed,
    TrackUnsubscribed,
    Video,
)
from hushroom_common.ids import Identity, Kind, RoomId, Source
from hushroom_common.signaling import CloseCode
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.web.tokens import mint
from tests.support.judges import judge_pictures, judge_sync, tone_of
from tests.support.rooms import (
    eventually,
    hears_tone,
    next_event,
    peer,
    reaches_state,
    rooms,
    sealed,
    sees_picture,
    track_of,
    with_keys,
)
from tests.support.server import SECRET, running_server
from tests.support.talk_media import Talk, make_talk
from tests.support.tcp_proxy import cable_to

TALK = Talk(width=320, height=180, fps=30, duration_s=3.0)
KEY_OF_ADA, KEY_OF_BO = b"ada's own key, 32 bytes of dice..", b"bo's own key, 32 bytes of dice..."


async def shows_the_pattern(room: Room) -> list[LocalTrack]:
    """Publishes a small test pattern and its tone."""
    return list(await asyncio.gather(room.publish(Video.test_pattern(320, 180, 15)), room.publish(Audio.test_tone())))


def is_the_pattern(luma: NDArray[np.uint8]) -> bool:
    """Diagonal waves around a black or white field: what neither noise nor grey looks like."""
    field = luma[72:108, 124:196].mean()
    waves = luma[10:60, 10:-10]
    diagonal = np.abs(waves[1:, :-1].astype(int) - waves[:-1, 1:]).mean()
    return bool((field < 40 or field > 210) and waves.std() > 30 and diagonal < 4)


# --- what is sealed arrives -----------------------------------------------------------------------------------------


async def test_a_sealed_picture_and_tone_arrive_as_they_were() -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada, bo = await people.join("ada", sealed()), await people.join("bo", sealed())
        await shows_the_pattern(ada)
        picture, samples = await asyncio.gather(sees_picture(bo, "ada"), hears_tone(bo, "ada"))
        assert picture.shape == (180, 320)
        assert is_the_pattern(picture)
        assert tone_of(samples).frequency_hz in (pytest.approx(440, abs=5), pytest.approx(1000, abs=5))
        assert peer(bo, "ada").e2ee_state is E2EEState.OPENING
        stats = bo.stats()
        assert stats.opened > 20
        assert not stats.rejected
        assert stats.received_bps > 10_000
        assert ada.stats().sent_bps > 10_000


async def test_both_talk_and_a_late_joiner_sees_both() -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada, bo = await people.join("ada", sealed()), await people.join("bo", sealed())
        await asyncio.gather(shows_the_pattern(ada), shows_the_pattern(bo))
        cy = await people.join("cy", sealed())
        for room, others in ((ada, ["bo"]), (bo, ["ada"]), (cy, ["ada", "bo"])):
            for other in others:
                assert is_the_pattern(await sees_picture(room, other))
        assert not cy.stats().rejected


async def test_a_file_is_recorded_as_it_was_published(tmp_path: Path) -> None:
    talk = make_talk(tmp_path / "talk.webm", TALK)
    async with running_server() as server, rooms(server.url) as people:
        ada, bo = await people.join("ada", sealed()), await people.join("bo", sealed())
        recorder = await Recorder.create(tmp_path, "ada")
        bo.attach(peer(bo, "ada"), recorder)
        tracks = await asyncio.gather(ada.publish(Video.file(talk)), ada.publish(Audio.file(talk)))
        await asyncio.gather(*(track.wait_ended() for track in tracks))
        await eventually(lambda: bo.stats().opened >= sum(track.frames_sent for track in tracks))
        await ada.leave()
        await recorder.close()
    # Whole and in sync to the frame is for tests/meeting/test_recordings.py, which has the machine to itself.
    pictures = judge_pictures(tmp_path / "ada.webm", TALK)
    assert pictures.fraction_in_order >= 0.5
    assert pictures.mean_error < 6
    assert abs(judge_sync(tmp_path / "ada.webm", TALK).median_ms) < 50


# --- what is not, does not ------------------------------------------------------------------------------------------


async def test_a_wrong_passphrase_opens_nothing_and_says_so() -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada, bo = await people.join("ada", sealed()), await people.join("bo", sealed("wrong horse"))
        frames: list[EncodedFrame] = []

        async def collect() -> None:
            async for frame in (await track_of(bo, "ada", Kind.VIDEO)).frames():
                frames.append(frame)

        collecting = asyncio.create_task(collect())
        await shows_the_pattern(ada)
        changed = asyncio.create_task(next_event(bo, FrameRejected))
        await reaches_state(bo, "ada", E2EEState.DIFFERENT_KEY)
        assert (await changed).reason is RejectReason.AUTHENTICATION
        stats = bo.stats()
        assert (stats.opened, list(stats.rejected)) == (0, [RejectReason.AUTHENTICATION])
        await ada.leave()
        await collecting
        assert frames == []


async def test_rejections_are_told_at_most_once_a_second_with_their_number() -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada, bo = await people.join("ada", sealed()), await people.join("bo", sealed("wrong horse"))
        told: list[FrameRejected] = []
        bo.on("frame_rejected", told.append)
        await ada.publish(Audio.test_tone())
        await eventually(lambda: len(told) == 2)
        assert told[0].count == 1
        assert told[1].count > 25
        assert sum(bo.stats().rejected.values()) >= told[0].count + told[1].count


async def test_frames_wait_for_a_key_that_comes_later() -> None:
    keys = ParticipantKeyProvider()
    keys.set_key("bo", KEY_OF_BO)
    adas_keys = ParticipantKeyProvider()
    adas_keys.set_key("ada", KEY_OF_ADA)
    async with running_server() as server, rooms(server.url) as people:
        ada, bo = await people.join("ada", with_keys(adas_keys)), await people.join("bo", with_keys(keys))
        await shows_the_pattern(ada)
        await eventually(lambda: bo.stats().rejected.get(RejectReason.MISSING_KEY))
        assert bo.stats().opened == 0
        assert peer(bo, "ada").e2ee_state is E2EEState.MISSING_KEY
        keys.set_key("ada", KEY_OF_ADA)
        assert is_the_pattern(await sees_picture(bo, "ada"))
        assert peer(bo, "ada").e2ee_state is E2EEState.OPENING
        keys.remove_key("ada")
        await reaches_state(bo, "ada", E2EEState.MISSING_KEY)


async def test_on_join_is_asked_for_everybody_and_can_take_its_time() -> None:
    book = {"ada": KEY_OF_ADA, "bo": KEY_OF_BO}
    asked: list[tuple[str, str]] = []
    adas_key_is_here = asyncio.Event()

    def provider(owner: str) -> ParticipantKeyProvider:
        async def on_join(identity: Identity) -> bytes:
            asked.append((owner, identity))
            if (owner, identity) == ("bo", "ada"):
                await adas_key_is_here.wait()
            return book[identity]

        return ParticipantKeyProvider(on_join)

    async with running_server() as server, rooms(server.url) as people:
        ada = await people.join("ada", with_keys(provider("ada")))
        bo = await people.join("bo", with_keys(provider("bo")))
        await asyncio.gather(shows_the_pattern(ada), shows_the_pattern(bo))
        assert is_the_pattern(await sees_picture(ada, "bo"))
        assert bo.stats().opened == 0
        adas_key_is_here.set()
        assert is_the_pattern(await sees_picture(bo, "ada"))
        assert sorted(asked) == [("ada", "ada"), ("ada", "bo"), ("bo", "ada"), ("bo", "bo")]


async def test_who_has_no_key_sends_nothing_until_he_has_one() -> None:
    adas_keys, bos_keys = ParticipantKeyProvider(), ParticipantKeyProvider()
    bos_keys.set_key("ada", KEY_OF_ADA)
    async with running_server() as server, rooms(server.url) as people:
        ada, bo = await people.join("ada", with_keys(adas_keys)), await people.join("bo", with_keys(bos_keys))
        camera, microphone = await shows_the_pattern(ada)
        await eventually(lambda: camera.frames_dropped > 15 and microphone.frames_dropped > 50)
        assert camera.frames_sent == microphone.frames_sent == 0
        assert bo.stats().opened == 0
        assert not bo.stats().rejected
        adas_keys.set_key("ada", KEY_OF_ADA)
        assert is_the_pattern(await sees_picture(bo, "ada"))


async def test_sealed_and_unsealed_clients_never_play_each_other() -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada, mallory = await people.join("ada", sealed()), await people.join("mallory", None)
        bo, max_ = await people.join("bo", sealed()), await people.join("max", None)
        for room in (ada, mallory):
            await shows_the_pattern(room)
        assert is_the_pattern(await sees_picture(bo, "ada"))  # those of one kind see each other meanwhile
        assert is_the_pattern(await sees_picture(max_, "mallory"))
        for room, other, state in (
            (bo, "mallory", E2EEState.NOT_SEALED),
            (max_, "ada", E2EEState.MISSING_KEY),
            (max_, "mallory", E2EEState.NOT_SEALED),
        ):
            assert peer(room, other).e2ee_state is state
        for room, other in ((bo, "mallory"), (max_, "ada")):
            tracks = peer(room, other).tracks.values()
            assert len(tracks) == 2
            assert not any(track.is_subscribed or track.opened or track.reception.rate.total_bytes for track in tracks)
        assert (bo.is_sealed, max_.is_sealed) == (True, False)


# --- the room's life ------------------------------------------------------------------------------------------------


async def test_events_come_to_handlers_and_iterators_alike_and_first_what_is_there() -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada = await people.join("ada", sealed())
        await ada.publish(Audio.test_tone())
        bo = await people.join("bo", sealed())
        await next_event(bo, TrackSubscribed)
        handled: list[Event] = []
        for name in ("participant_joined", "track_published", "track_subscribed"):
            bo.on(name, handled.append)
        with closing(bo.events()) as events:
            iterated = [await anext(events) for _ in range(3)]
        assert handled == iterated
        assert [type(event) for event in handled] == [ParticipantJoined, TrackPublished, TrackSubscribed]
        await people.join("cy", sealed())
        await eventually(lambda: len(handled) == 4)


async def test_handlers_are_checked_and_cannot_harm_the_room(caplog: pytest.LogCaptureFixture) -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada = await people.join("ada", sealed())
        with pytest.raises(ValueError, match="track_subscribed"):
            ada.on("track_subscribd", print)

        async def too_slow(event: Event) -> None: ...

        with pytest.raises(TypeError, match=r"room\.events"):
            ada.on("track_subscribed", too_slow)

        @ada.on("participant_joined")
        def fails(event: Event) -> None:
            raise RuntimeError("a bug of the application")

        heard: list[Event] = []
        ada.on("participant_joined", heard.append)
        with caplog.at_level(logging.CRITICAL, "hushroom_client.event_hub"):
            await people.join("bo", sealed())
            await eventually(lambda: heard)


async def test_mute_pauses_and_is_told() -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada, bo = await people.join("ada", sealed()), await people.join("bo", sealed())
        camera = await ada.publish(Video.test_pattern(320, 180, 15))
        await sees_picture(bo, "ada")
        camera.mute()
        event = await next_event(bo, TrackMuted)
        assert (event.is_muted, event.track.is_muted) == (True, True)
        sent = camera.frames_sent
        camera.unmute()
        await eventually(lambda: not event.track.is_muted)
        assert is_the_pattern(await sees_picture(bo, "ada"))
        assert camera.frames_sent > sent


async def test_unsubscribing_ends_iterators_and_subscribing_brings_pictures_back() -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada, bo = await people.join("ada", sealed()), await people.join("bo", sealed())
        await ada.publish(Video.test_pattern(320, 180, 15))
        track = await track_of(bo, "ada", Kind.VIDEO)
        async for _ in track.frames():
            if track.is_subscribed:
                bo.unsubscribe(track)
        assert not track.is_subscribed
        bo.subscribe(track)
        assert is_the_pattern(await sees_picture(bo, "ada"))


async def test_unpublish_and_publish_again_on_the_same_line() -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada, bo = await people.join("ada", sealed()), await people.join("bo", sealed())
        first = await ada.publish(Video.test_pattern(320, 180, 15))
        await sees_picture(bo, "ada")
        ada.unpublish(first)
        await first.wait_ended()
        await eventually(lambda: not peer(bo, "ada").tracks)
        second = await ada.publish(Video.test_pattern(320, 180, 15), source=Source.SCREEN)
        assert is_the_pattern(await sees_picture(bo, "ada"))
        assert second.source is Source.SCREEN
        assert ada.tracks == (second,)


async def test_leaving_leaves_nothing_behind() -> None:
    async with running_server() as server:
        before = asyncio.all_tasks()
        ada = await Room.join(server.url, room="standup", identity="ada", e2ee=sealed())
        async with await Room.join(server.url, room="standup", identity="bo", e2ee=sealed()) as bo:
            tracks = await shows_the_pattern(ada)
            await sees_picture(bo, "ada")
            events = bo.events()
            await ada.leave()
            await ada.leave()
            await eventually(lambda: not bo.participants)
        for track in tracks:
            await track.wait_ended()
        async for _ in events:
            pass  # ends, because the room has
        assert await bo.wait_closed() is None
        with pytest.raises(RoomClosed):
            await ada.publish(Video.test_pattern())
        await eventually(lambda: not [task for task in asyncio.all_tasks() - before if "room" in task.get_name()])


async def test_the_newer_join_of_a_name_replaces_the_older() -> None:
    async with running_server() as server, rooms(server.url) as people:
        older = await people.join("ada", sealed())
        bo = await people.join("bo", sealed())
        newer = await people.join("ada", sealed())
        lost = await older.wait_closed()
        assert isinstance(lost, ConnectionLost)
        assert lost.code is CloseCode.JOINED_ELSEWHERE
        assert "joined elsewhere" in lost.reason
        await newer.publish(Video.test_pattern(320, 180, 15))
        assert is_the_pattern(await sees_picture(bo, "ada"))


async def test_a_lost_websocket_is_resumed_while_pictures_go_on() -> None:
    async with running_server() as server, rooms(server.url) as people, cable_to(server.url) as cable:
        ada = await people.join("ada", sealed())
        async with await Room.join(cable.url, room="standup", identity="bo", e2ee=sealed()) as bo:
            await ada.publish(Video.test_pattern(320, 180, 15))
            await sees_picture(bo, "ada")
            told: list[str] = []
            for name in ("reconnecting", "reconnected", "track_unsubscribed", "participant_left", "connection_lost"):
                bo.on(name, lambda event, name=name: told.append(name))
            cable.cut(for_good=True)
            await eventually(lambda: told and cable.connections >= 3)
            opened = bo.stats().opened
            cy = await people.join("cy", sealed())  # missed, and made up for
            await eventually(lambda: bo.stats().opened > opened + 15)
            assert told == ["reconnecting"]
            cable.mend()
            await eventually(lambda: Identity("cy") in bo.participants)
            assert told == ["reconnecting", "reconnected"]
            await cy.publish(Video.test_pattern(320, 180, 15))
            assert is_the_pattern(await sees_picture(bo, "cy"))


async def test_media_legs_that_are_lost_are_replaced() -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada, bo = await people.join("ada", sealed()), await people.join("bo", sealed())
        await ada.publish(Video.test_pattern(320, 180, 15))
        await sees_picture(bo, "ada")
        gone = asyncio.create_task(next_event(bo, TrackUnsubscribed))
        await ada._conversation.publisher.drop()  # as when the network changes under it
        ada._conversation.do(ada._conversation.session.publisher_failed(0, ada._conversation.clock()))
        await gone
        assert is_the_pattern(await sees_picture(bo, "ada"))
        gone = asyncio.create_task(next_event(bo, TrackUnsubscribed))
        await bo._conversation.subscriber.drop()
        await gone
        assert is_the_pattern(await sees_picture(bo, "ada"))
        assert not bo.stats().rejected


# --- what goes wrong ------------------------------------------------------------------------------------------------


async def test_tokens_say_who_joins_and_expire() -> None:
    def token(identity: str, lasts_s: float, *, may_publish: bool = True) -> str:
        expires_at = time.time() + lasts_s
        return mint(
            SECRET,
            room=RoomId("standup"),
            identity=Identity(identity),
            expires_at_unix=expires_at,
            may_publish=may_publish,
        )

    async with running_server(secret=SECRET) as server:
        async with await Room.join(server.url, room="standup", token=token("ada", 60), e2ee=sealed()) as ada:
            assert ada.identity == "ada"
            assert ada.token_expires_at == pytest.approx(time.monotonic() + 65, abs=5)
            ada.renew_token(token("ada", 600))
            await eventually(lambda: (ada.token_expires_at or 0) > time.monotonic() + 500)
        for bad, code in ((token("ada", -60), CloseCode.TOKEN_EXPIRED), (token("ada", 60) + "x", CloseCode.BAD_TOKEN)):
            with pytest.raises(JoinFailed) as failed:
                await Room.join(server.url, room="standup", token=bad, e2ee=sealed())
            assert failed.value.code is code
        with pytest.raises(JoinFailed, match="token"):
            await Room.join(server.url, room="standup", token="not.a-token", e2ee=sealed())
        listener = await Room.join(server.url, room="standup", token=token("cy", 60, may_publish=False), e2ee=sealed())
        with pytest.raises(RequestRefused, match="does not allow"):
            await listener.publish(Audio.test_tone())
        await listener.leave()


async def test_refusals_leave_the_room_usable() -> None:
    async with running_server(limits=Limits(tracks_per_participant=1)) as server, rooms(server.url) as people:
        ada, bo = await people.join("ada", sealed()), await people.join("bo", sealed())
        await ada.publish(Video.test_pattern(320, 180, 15))
        with pytest.raises(RequestRefused, match="too many tracks") as refused:
            await ada.publish(Audio.test_tone())
        assert refused.value.code is CloseCode.TOO_MANY_TRACKS
        assert len(ada.tracks) == 1
        assert is_the_pattern(await sees_picture(bo, "ada"))
        with pytest.raises(MediaError, match="no such file"):
            await ada.publish(Video.file("nowhere.mp4"))
        with pytest.raises(ValueError, match="screen"):
            await ada.publish(Video.test_pattern(), source=Source.MICROPHONE)


async def test_no_server_is_said_in_one_sentence() -> None:
    async with running_server() as server:
        url = server.url
    with pytest.raises(JoinFailed, match="nothing listens there"):
        await Room.join(url, room="standup", identity="ada", e2ee=None)
    with pytest.raises(JoinFailed, match="room"):
        await Room.join(url, room="", identity="ada", e2ee=None)


async def test_a_server_that_goes_down_is_told_as_what_it_is() -> None:
    async with running_server() as server:
        ada = await Room.join(server.url, room="standup", identity="ada", e2ee=sealed())
        states: list[Event] = []
        ada.on("connection_lost", states.append)
    lost = await ada.wait_closed()
    assert lost is not None
    assert lost.code is CloseCode.SERVER_DRAINING
    assert states == [lost]


async def test_state_changes_are_events() -> None:
    async with running_server() as server, rooms(server.url) as people:
        ada = await people.join("ada", sealed())
        changes: list[Event] = []
        ada.on("e2ee_state_changed", changes.append)
        bo = await people.join("bo", None)
        await eventually(lambda: changes)
        await bo.publish(Audio.test_tone())
        await eventually(lambda: len(changes) == 2)
        states = [change.state for change in changes if isinstance(change, E2EEStateChanged)]
        assert states == [E2EEState.OPENING, E2EEState.NOT_SEALED]
