"""Whole calls that something happens to: losses, late comers, slots that change hands, a WebSocket that goes away."""

import asyncio
from pathlib import Path

from hushroom_client import Audio, Recorder, Video
from hushroom_client.events import (
    ConnectionLost,
    ParticipantLeft,
    Reconnected,
    Reconnecting,
    TrackMuted,
    TrackUnpublished,
    TrackUnsubscribed,
)
from hushroom_common.ids import Identity, Kind
from hushroom_common.signaling import LeaveReason
from tests.meeting.guests import FPS, attending, picture_of, size_of
from tests.plane.peers import eventually
from tests.support.judges import judge_sync
from tests.support.lossy_udp import announce, lossy_relay, of_ssrcs
from tests.support.server import metric, running_server
from tests.support.talk_media import Talk, make_talk
from tests.support.tcp_proxy import cable_to

FRAME_S = 1 / FPS


async def test_losses_on_the_second_video_slot_are_repaired() -> None:
    async with running_server() as server, lossy_relay(server.udp_port) as network:
        announce(server, network.port)
        async with attending(server.url, "ada") as ada, attending(server.url, "bo") as bo:
            await ada.room.publish(picture_of("ada"))
            async with attending(server.url, "cy") as cy:
                first = await cy.sees("ada")
                await bo.room.publish(picture_of("bo"))
                second = await cy.sees("bo")
                first_mid, first_slot = cy.slot_of(first)
                second_mid, slot = cy.slot_of(second)
                assert int(second_mid) > int(first_mid)

                began = len(second.frames)
                assert slot.spec.rtx_ssrc is not None
                network.to_clients.chooses = of_ssrcs(slot.spec.ssrc, slot.spec.rtx_ssrc)
                network.to_clients.loss = 0.1
                await eventually(lambda: network.to_clients.lost >= 12, within_s=20)
                network.to_clients.loss = 0
                await second.shows(FPS)

                assert slot.packets_repaired >= 8
                assert slot.losses == 0, "a picture was given up"
                assert max(second.gaps_s(began)) < 1.5 * FRAME_S, "a picture is missing"
                assert first_slot.packets_repaired == 0
                assert max(first.gaps_s()) < 1.5 * FRAME_S
                assert cy.rejected() == {}


async def test_sound_and_picture_stay_in_sync_though_the_picture_takes_longer(tmp_path: Path) -> None:
    talk = Talk(width=320, height=180, fps=15, duration_s=6)
    file = await asyncio.to_thread(make_talk, tmp_path / "talk.mp4", talk)
    async with running_server() as server, lossy_relay(server.udp_port) as network:
        announce(server, network.port)
        network.to_clients.delay_s, network.to_clients.jitter_s = 0.2, 0.03
        async with attending(server.url, "ada") as ada, attending(server.url, "bo") as bo:
            await eventually(lambda: Identity("ada") in bo.room.participants)
            recorder = await Recorder.create(tmp_path, "ada")
            bo.room.attach(bo.room.participants[Identity("ada")], recorder)
            picture = await ada.room.publish(Video.file(file))
            sound = await ada.room.publish(Audio.file(file))
            seen = await bo.sees("ada")
            network.to_clients.chooses = of_ssrcs(bo.slot_of(seen)[1].spec.ssrc)
            await picture.wait_ended()
            await sound.wait_ended()
            await eventually(lambda: seen.frames[-1].timestamp - seen.frames[0].timestamp >= 5 * 90_000)
            await recorder.close()
    sync = await asyncio.to_thread(judge_sync, recorder.path, talk)
    assert len(sync.offsets_ms) >= 4
    assert abs(sync.worst_ms) <= 50, sync


async def test_a_late_joiner_sees_somebody_at_once() -> None:
    async with running_server() as server, attending(server.url, "ada") as ada:
        await ada.room.publish(picture_of("ada"))
        async with attending(server.url, "bo") as bo:
            await (await bo.sees("ada")).shows(2 * FPS)
            began = asyncio.get_running_loop().time()
            async with attending(server.url, "cy") as cy:
                view = await cy.sees("ada")
                assert view.frames[0].is_keyframe
                assert view.frames[0].at - began < 2.0, "the next keyframe by itself is seconds away"
                await view.shows(FPS)
                assert max(view.gaps_s()) < 1.5 * FRAME_S


async def test_slots_that_change_hands_show_the_right_person() -> None:
    async with running_server() as server, attending(server.url, "cy") as cy, attending(server.url, "ada") as ada:
        await ada.room.publish(picture_of("ada"))
        async with attending(server.url, "bo") as bo, attending(server.url, "dan") as dan:
            await bo.room.publish(picture_of("bo"))
            seen = {who: await cy.sees(who) for who in ("ada", "bo")}
            was_ada, _ = cy.slot_of(seen["ada"])
            cy.room.unsubscribe(seen["ada"].track)
            await cy.learns(TrackUnsubscribed)
            await dan.room.publish(picture_of("dan"))
            seen["dan"] = await cy.sees("dan")
            cy.room.subscribe(seen["ada"].track)
            await seen["ada"].shows(FPS)
            await seen["dan"].shows(FPS)
            slots = {cy.slot_of(view)[0] for view in seen.values()}
            assert len(slots) == 3
            assert was_ada in slots, "the free slot is used again"
            assert {who: view.sizes for who, view in seen.items()} == {who: {size_of(who)} for who in seen}
            assert cy.rejected() == {}


async def test_muting_unpublishing_and_leaving_are_told_and_heard() -> None:
    async with running_server() as server, attending(server.url, "bo") as bo:
        async with attending(server.url, "ada") as ada:
            picture = await ada.room.publish(picture_of("ada"))
            sound = await ada.room.publish(Audio.test_tone())
            seen, heard = await bo.sees("ada"), await bo.sees("ada", Kind.AUDIO)

            picture.mute()
            assert (await bo.learns(TrackMuted)).is_muted
            paused = len(seen.frames)
            await heard.shows(50)
            assert len(seen.frames) <= paused + 1, "what was under way when it was muted"
            picture.unmute()
            goes_on = len(seen.frames)
            await seen.shows(FPS)
            assert seen.frames[goes_on].is_keyframe
            assert [event.is_muted for event in bo.happened(TrackMuted)] == [True, False]

            ada.room.unpublish(sound)
            assert (await bo.learns(TrackUnpublished)).track is heard.track
            await seen.shows(FPS)
            await ada.room.publish(Audio.test_tone())
            again = await bo.sees("ada", Kind.AUDIO)
            assert again is not heard
            await again.shows(20)
        assert (await bo.learns(ParticipantLeft)).reason is LeaveReason.LEFT
        assert bo.room.participants == {}
        assert bo.rejected() == {}
        await eventually(lambda: metric(server, "hushroom_publications") == 0)


async def test_a_lost_websocket_is_resumed_and_media_does_not_notice() -> None:
    async with (
        running_server() as server,
        cable_to(server.url) as cable,
        attending(server.url, "ada") as ada,
        attending(cable.url, "bo") as bo,
    ):
        await ada.room.publish(picture_of("ada"))
        await bo.room.publish(picture_of("bo"))
        views = [await bo.sees("ada"), await ada.sees("bo")]
        cable.cut(for_good=True)
        await bo.learns(Reconnecting)
        for view in views:
            await view.shows(2 * FPS)
        cable.mend()
        await bo.learns(Reconnected)
        for view in views:
            await view.shows(FPS)
            assert max(view.gaps_s()) < 1.5 * FRAME_S
        sound = await bo.room.publish(Audio.test_tone())
        await ada.sees("bo", Kind.AUDIO)
        bo.room.unpublish(sound)
        await ada.learns(TrackUnpublished)
        assert not ada.happened(ParticipantLeft)
        assert not bo.happened(TrackUnsubscribed)
        assert not bo.happened(ConnectionLost)
        assert cable.connections >= 3
        assert metric(server, "hushroom_legs") == 4
