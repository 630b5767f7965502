"""Publisher and subscriber shells over real sockets on loopback, with aiortc's own DTLS and SRTP between them."""

import asyncio
import random
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiortc
import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from hushroom_client.media import aiortc_seam
from hushroom_client.media.feed import Feed
from hushroom_client.media.frames import EncodedFrame
from hushroom_client.media.leg_receiver import ReceivedFrame
from hushroom_client.media.publisher import PublisherConnection
from hushroom_client.media.subscriber import SubscriberConnection
from hushroom_common.errors import ProtocolError
from hushroom_common.header_extensions import read_extensions
from hushroom_common.ids import Codec
from hushroom_common.rtcp import SenderReport, parse_compound, unix_from_ntp
from hushroom_common.rtp import RtpPacket, is_rtcp
from tests.client.media.fake_source import FakeSource, eventually


def unsealed(frame: EncodedFrame) -> bytes:
    return frame.data


class Call:
    """A publisher connected to a subscriber, without a server between."""

    def __init__(self) -> None:
        self.received: list[ReceivedFrame] = []
        self.publisher = PublisherConnection(gather_loopback=True)
        self.subscriber = SubscriberConnection(self.received.append, gather_loopback=True)
        self.answer = ""

    async def negotiate(self) -> None:
        offer = await self.publisher.create_offer()
        self.answer = await self.subscriber.accept_offer(offer)
        await self.publisher.accept_answer(self.answer)
        await self.publisher.wait_connected()
        await self.subscriber.wait_connected()

    def received_on(self, mid: str) -> list[bytes]:
        return [received.frame.data for received in self.received if received.mid == mid]

    def loses(self, judge: Callable[[bytes], bool]) -> None:
        """Drop what the publisher sends wherever `judge` says so, before it is protected."""
        dtls = aiortc_seam.transport_of(self.publisher._peer.connection)
        assert dtls is not None
        send = dtls._send_rtp

        async def send_or_lose(data: bytes) -> None:
            if not judge(data):
                await send(data)

        dtls._send_rtp = send_or_lose  # type: ignore[method-assign]  # the network of this test


@asynccontextmanager
async def a_call() -> AsyncIterator[Call]:
    call = Call()
    async with asyncio.TaskGroup() as tasks:

        async def run() -> None:
            with pytest.raises(ConnectionError):
                await call.subscriber.run()

        tasks.create_task(run())
        try:
            yield call
        finally:
            await call.publisher.close()
            await call.subscriber.close()


async def test_sealed_frames_arrive_byte_for_byte() -> None:
    camera, microphone = FakeSource(Codec.VP8), FakeSource(Codec.OPUS)
    async with a_call() as call:
        picture = call.publisher.add_track(Feed(camera, unsealed))
        sound = call.publisher.add_track(Feed(microphone, unsealed))
        await call.negotiate()
        pictures = [camera.frame(is_keyframe=at == 0, size=10 + 700 * at) for at in range(8)]
        sounds = [microphone.frame(size=20 + 10 * at) for at in range(8)]
        camera.say(*pictures)
        microphone.say(*sounds)
        await eventually(lambda: len(call.received) == 16)
        assert call.received_on(picture.mid) == [frame.data for frame in pictures]
        assert call.received_on(sound.mid) == [frame.data for frame in sounds]
        for mid, sent in ((picture.mid, pictures), (sound.mid, sounds)):
            received = [item.frame for item in call.received if item.mid == mid]
            assert [frame.timestamp - received[0].timestamp for frame in received] == [
                frame.timestamp for frame in sent
            ]
            assert [frame.is_keyframe for frame in received] == [frame.is_keyframe for frame in sent]
            assert {frame.codec for frame in received} == {sent[0].codec}


async def test_no_decoder_thread_is_started() -> None:
    camera = FakeSource()
    async with a_call() as call:
        call.publisher.add_track(Feed(camera, unsealed))
        await call.negotiate()
        camera.say(camera.frame())
        await eventually(lambda: call.received)
        assert not [thread.name for thread in threading.enumerate() if "decoder" in thread.name]


async def test_losses_on_the_second_video_are_repaired() -> None:
    lost: set[int] = set()
    chance = random.Random(7)
    async with a_call() as call:
        cameras = [FakeSource(seed=1), FakeSource(seed=2)]
        mids = [call.publisher.add_track(Feed(camera, unsealed)) for camera in cameras]
        await call.negotiate()

        def loses(data: bytes) -> bool:
            if is_rtcp(data):
                return False
            hit = chance.random() < 0.2 and data not in lost_once
            lost_once.add(data)
            if hit:
                lost.add(RtpPacket.parse(data).ssrc)
            return hit

        lost_once: set[bytes] = set()
        call.loses(loses)
        sent: list[EncodedFrame] = []
        for at in range(40):
            frame = cameras[1].frame(is_keyframe=at == 0, size=3000)
            sent.append(frame)
            cameras[1].say(frame)
            await asyncio.sleep(0.01)  # the pace of a camera, not a wait for anything
        # A keyframe that nobody waits for: what was lost at the very end would not be missed otherwise.
        cameras[1].say(cameras[1].frame(is_keyframe=True, size=10))
        await eventually(lambda: len(call.received_on(mids[1].mid)) >= 40)
        assert lost
        assert call.received_on(mids[1].mid)[:40] == [frame.data for frame in sent]
        receiver = call.subscriber.receiver(mids[1].mid)
        assert receiver is not None
        assert receiver.packets_repaired > 10
        assert receiver.losses == 0


async def test_a_request_for_a_keyframe_reaches_the_source() -> None:
    camera = FakeSource()
    async with a_call() as call:
        track = call.publisher.add_track(Feed(camera, unsealed))
        await call.negotiate()
        camera.say(camera.frame())
        await eventually(lambda: call.received)
        call.subscriber.request_keyframe(track.mid)
        await eventually(lambda: camera.keyframe_requests)
        camera.say(camera.frame(is_keyframe=False), keyframe := camera.frame())
        await eventually(lambda: len(call.received) == 2)
        assert call.received[-1].frame.data == keyframe.data


async def test_tracks_come_and_go_and_their_lines_are_used_again() -> None:
    first, second, third = FakeSource(seed=1), FakeSource(seed=2), FakeSource(seed=3)
    async with a_call() as call:
        one = call.publisher.add_track(Feed(first, unsealed))
        await call.negotiate()
        first.say(first.frame())
        await eventually(lambda: call.received)
        call.publisher.remove_track(one)
        two = call.publisher.add_track(Feed(second, unsealed))
        three = call.publisher.add_track(Feed(third, unsealed))
        await call.negotiate()
        assert two.mid == one.mid != three.mid
        second.say(after := second.frame())
        third.say(other := third.frame())
        await eventually(lambda: len(call.received) == 3)
        assert call.received_on(two.mid)[1:] == [after.data]
        assert call.received_on(three.mid) == [other.data]
        old, new = (item.frame.timestamp for item in call.received if item.mid == two.mid)
        assert new > old


async def test_sound_and_picture_get_times_on_one_clock() -> None:
    camera, microphone = FakeSource(Codec.VP8), FakeSource(Codec.OPUS)
    async with a_call() as call:
        picture = call.publisher.add_track(Feed(camera, unsealed))
        sound = call.publisher.add_track(Feed(microphone, unsealed))
        await call.negotiate()

        def latest(mid: str) -> ReceivedFrame | None:
            return next((item for item in reversed(call.received) if item.mid == mid and item.captured_at), None)

        started_at = time.monotonic()
        pictures = sounds = 0
        while not (latest(picture.mid) and latest(sound.mid)):  # the first sender reports come after 0.5-1.5 s
            elapsed_s = time.monotonic() - started_at
            assert elapsed_s < 10
            while pictures <= elapsed_s * 30:
                camera.say(camera.frame(is_keyframe=pictures == 0))
                pictures += 1
            while sounds <= elapsed_s * 50:
                microphone.say(microphone.frame())
                sounds += 1
            await asyncio.sleep(0.005)
        shown, heard = latest(picture.mid), latest(sound.mid)
        assert shown is not None
        assert heard is not None
        assert shown.captured_at is not None
        assert heard.captured_at is not None
        behind_s = (shown.captured_at - shown.arrived_at) - (heard.captured_at - heard.arrived_at)
        assert abs(behind_s) < 0.05


async def test_nothing_about_loudness_leaves_in_the_clear() -> None:
    microphone = FakeSource(Codec.OPUS)
    headers: list[dict[int, bytes]] = []

    def notes(data: bytes) -> bool:
        if not is_rtcp(data):
            headers.append(read_extensions(RtpPacket.parse(data)))
        return False

    async with a_call() as call:
        track = call.publisher.add_track(Feed(microphone, unsealed))
        assert "ssrc-audio-level" not in await call.publisher.create_offer()
        await call.negotiate()
        call.loses(notes)
        microphone.say(microphone.frame(), microphone.frame())
        await eventually(lambda: len(call.received) == 2)
        assert headers == [{1: track.mid.encode()}] * 2


@pytest.mark.parametrize("datagram", [b"", b"\x80" * 9000, b"\x80", b"\x80\xc8" + bytes(2000), b"\x16\xfe\xfd"])
async def test_a_stranger_with_a_datagram_ends_no_transport(datagram: bytes) -> None:
    camera = FakeSource()
    async with a_call() as call:
        call.publisher.add_track(Feed(camera, unsealed))
        await call.negotiate()
        (port,) = set(re.findall(r"a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 (\d+)", call.answer))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(datagram, ("127.0.0.1", int(port)))
        camera.say(camera.frame())
        await eventually(lambda: call.received)
        assert call.subscriber.state == "connected"


async def test_addresses_are_gathered_on_loopback_only_where_asked() -> None:
    camera = FakeSource()
    publisher = PublisherConnection(gather_loopback=False)
    publisher.add_track(Feed(camera, unsealed))
    offer = await publisher.create_offer()
    await publisher.close()
    assert "127.0.0.1" not in offer
    assert "::1 " not in offer


async def test_reports_are_of_the_moment_at_which_they_are_sent() -> None:
    camera = FakeSource()
    ages_s: list[float] = []

    def notes(data: bytes) -> bool:
        if is_rtcp(data):
            reports = [packet for packet in parse_compound(data) if isinstance(packet, SenderReport)]
            ages_s.extend(time.time() - unix_from_ntp(report.ntp_time) for report in reports)
        return False

    async with a_call() as call:
        call.publisher.add_track(Feed(camera, unsealed))
        await call.negotiate()
        call.loses(notes)
        camera.say(camera.frame())
        await eventually(lambda: ages_s)  # half a second after the only frame, at least
        assert abs(ages_s[0]) < 0.2


async def test_a_peer_that_answers_with_media_of_its_own_is_not_listened_to() -> None:
    camera = FakeSource()
    publisher, peer = PublisherConnection(gather_loopback=True), RTCPeerConnection(RTCConfiguration(iceServers=[]))
    heard: list[bytes] = []
    try:
        publisher.add_track(Feed(camera, unsealed))
        await peer.setRemoteDescription(RTCSessionDescription(await publisher.create_offer(), "offer"))
        for transceiver in peer.getTransceivers():
            aiortc_seam.receive_nothing(transceiver.receiver)
        dtls = aiortc_seam.transport_of(peer)
        assert dtls is not None
        aiortc_seam.receive_packets(dtls, on_rtp=heard.append, on_rtcp=heard.append)
        with aiortc_seam.gather_loopback_too():
            await peer.setLocalDescription(await peer.createAnswer())
        await publisher.accept_answer(peer.localDescription.sdp.replace("a=recvonly", "a=sendrecv"))
        await eventually(lambda: heard)  # its sender runs, so its receiver would run, too
        assert not [thread.name for thread in threading.enumerate() if "decoder" in thread.name]
    finally:
        await publisher.close()
        await peer.close()


class GreyPictures(aiortc.VideoStreamTrack):
    """What a stock peer films: real VP8, which nobody seals."""

    async def recv(self) -> av.VideoFrame:
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 120, np.uint8), "rgb24")
        picture.pts, picture.time_base = await self.next_timestamp()
        return picture


async def test_stock_peers_understand_what_we_send_and_we_what_they_send() -> None:
    """A stock sender's frames, out of our subscriber and into our publisher, are shown by a stock receiver."""
    stock_camera, stock_screen = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    publisher = PublisherConnection(gather_loopback=True)
    received: list[ReceivedFrame] = []
    subscriber = SubscriberConnection(received.append, gather_loopback=True)
    source, tracks = FakeSource(), list[aiortc.MediaStreamTrack]()
    try:
        stock_camera.addTrack(GreyPictures())
        with aiortc_seam.gather_loopback_too():
            await stock_camera.setLocalDescription(await stock_camera.createOffer())
        answer = await subscriber.accept_offer(stock_camera.localDescription.sdp)
        await stock_camera.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await eventually(lambda: len(received) >= 5)

        publisher.add_track(Feed(source, unsealed))
        stock_screen.on("track", tracks.append)
        await stock_screen.setRemoteDescription(RTCSessionDescription(await publisher.create_offer(), "offer"))
        with aiortc_seam.gather_loopback_too():
            await stock_screen.setLocalDescription(await stock_screen.createAnswer())
        await publisher.accept_answer(stock_screen.localDescription.sdp)
        source.say(*(item.frame for item in received[:5]))
        shown = await asyncio.wait_for(tracks[0].recv(), timeout=10)
        assert isinstance(shown, av.VideoFrame)
        assert abs(shown.to_ndarray(format="rgb24").mean() - 120) < 6
    finally:
        for connection in (stock_camera, stock_screen, publisher, subscriber):
            await connection.close()


@pytest.mark.parametrize(
    "sdp",
    ["", "v=0\r\n", "m=video\r\n", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\n", "m=application 9 UDP/DTLS/SCTP x\r\n"],
)
async def test_a_description_that_makes_no_sense_is_the_servers_fault(sdp: str) -> None:
    subscriber = SubscriberConnection(lambda frame: None)
    with pytest.raises(ProtocolError):
        await subscriber.accept_offer(sdp)
    await subscriber.close()
