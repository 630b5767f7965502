"""Whatever publishers send and subscribers ask, in whatever order: the forwarder's promises hold."""

from collections import defaultdict
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from hushroom_common.codecs.vp8 import read_descriptor, starts_keyframe
from hushroom_common.ids import LegId
from hushroom_common.rtcp import GenericNack, PictureLossIndication
from hushroom_common.rtp import RtpPacket
from hushroom_sfu.core.down_track import DownTrackId
from tests.support.forwarding import Forwarding
from tests.support.streams import Vp8Stream

OPERATIONS = (
    "frames",
    "frames",
    "frames",
    "frames",
    "assign",
    "release",
    "limit",
    "nack",
    "pli",
    "time",
    "late",
    "twice",
)


class Chaos:
    """Two publishers with temporal layers, three slots on one leg, and a seed that decides everything."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.forwarding = Forwarding()
        self.publishers = [self.forwarding.leg() for _ in range(2)]
        self.streams = [
            Vp8Stream(ssrc=0x1000 + index, temporal_layers=True, packets_per_frame=3, picture_id=32_760 + index * 20)
            for index in range(2)
        ]
        self.tracks = [
            self.forwarding.camera(leg, stream.ssrc) for leg, stream in zip(self.publishers, self.streams, strict=True)
        ]
        self.subscriber = self.forwarding.leg()
        self.slots = [self.forwarding.slot(self.subscriber) for _ in range(3)]
        self.sent_bodies: set[bytes] = set()
        self.held_back: list[tuple[LegId, bytes]] = []
        self.passed: list[tuple[LegId, bytes]] = []

    def does(self, operation: str) -> None:
        getattr(self, f"_{operation}")()

    def settles(self) -> None:
        for index in range(2):
            for packet in self.streams[index].sends("P"):
                self._note(packet)
                self.forwarding.arrives(self.publishers[index], packet)
        self.forwarding.passes(3)

    def out(self) -> dict[int, list[RtpPacket]]:
        by_ssrc = defaultdict(list)
        for packet in self.forwarding.rtp[self.subscriber]:
            by_ssrc[packet.ssrc].append(packet)
        return by_ssrc

    def _note(self, packet: bytes) -> None:
        payload = RtpPacket.parse(packet).payload
        self.sent_bodies.add(payload[read_descriptor(payload).size :])

    def _slot(self) -> DownTrackId:
        return self.random.choice(self.slots)

    def _frames(self) -> None:
        index = self.random.randrange(2)
        for packet in self.streams[index].frame(is_keyframe=self.random.random() < 0.2):
            self._note(packet)
            if self.random.random() < 0.15:
                self.held_back.append((self.publishers[index], packet))
                continue
            self.passed.append((self.publishers[index], packet))
            self.forwarding.arrives(self.publishers[index], packet)

    def _late(self) -> None:
        if self.held_back:
            leg, packet = self.held_back.pop(self.random.randrange(len(self.held_back)))
            self.forwarding.arrives(leg, packet)

    def _twice(self) -> None:
        if self.passed:
            self.forwarding.arrives(*self.random.choice(self.passed[-30:]))

    def _assign(self) -> None:
        self.forwarding.assign(self._slot(), self.random.choice(self.tracks), self.random.choice((0, 1, 2, 7)))

    def _release(self) -> None:
        self.forwarding.release(self._slot())

    def _limit(self) -> None:
        self.forwarding.forwarder.limit(self._slot(), self.random.choice((0, 1, 2, 7)))

    def _nack(self) -> None:
        received = self.forwarding.rtp[self.subscriber]
        if received:
            packet = self.random.choice(received[-60:])
            lost = tuple((packet.sequence_number + step) & 0xFFFF for step in range(self.random.randrange(1, 5)))
            nack = GenericNack(sender_ssrc=9, media_ssrc=packet.ssrc, lost=lost)
            self.forwarding.arrives_rtcp(self.subscriber, nack)

    def _pli(self) -> None:
        received = self.forwarding.rtp[self.subscriber]
        if received:
            pli = PictureLossIndication(sender_ssrc=9, media_ssrc=self.random.choice(received).ssrc)
            self.forwarding.arrives_rtcp(self.subscriber, pli)

    def _time(self) -> None:
        self.forwarding.passes(self.random.choice((0.005, 0.03, 0.2, 1.2)))


@settings(max_examples=500, deadline=None)
@given(seed=st.integers(0, 2**32), operations=st.lists(st.sampled_from(OPERATIONS), min_size=10, max_size=120))
def test_the_forwarders_promises(seed: int, operations: list[str]) -> None:
    chaos = Chaos(seed)
    for operation in operations:
        chaos.does(operation)
    chaos.settles()
    for packets in chaos.out().values():
        contents: dict[int, bytes] = {}
        for packet in packets:
            known = contents.setdefault(packet.sequence_number, packet.data)
            assert known == packet.data, "one sequence number carried two contents"
        first = packets[0].sequence_number
        offsets = sorted((number - first) & 0xFFFF for number in contents)
        assert offsets == list(range(len(offsets))), "a number was never filled"
        assert starts_keyframe(packets[0].payload), "something came before the first keyframe"
        for packet in packets:
            payload = packet.payload
            assert not payload or payload[read_descriptor(payload).size :] in chaos.sent_bodies


@settings(max_examples=100, deadline=None)
@given(packets=st.lists(st.binary(max_size=80), max_size=20), rtcp=st.lists(st.binary(max_size=80), max_size=10))
def test_any_bytes_are_forwarded_or_dropped_with_a_reason(packets: list[bytes], rtcp: list[bytes]) -> None:
    forwarding = Forwarding()
    ada, bo = forwarding.leg(), forwarding.leg()
    forwarding.assign(forwarding.slot(bo), forwarding.camera(ada))
    for packet in packets:
        known = b"\x80\x60" + packet[:6].ljust(6, b"\0") + (0x1000).to_bytes(4) + packet[6:]
        before = sum(forwarding.forwarder.drops.values())
        forwarding.arrives(ada, packet)
        assert sum(forwarding.forwarder.drops.values()) > before
        forwarding.arrives(ada, known)
        forwarding.passes(0.01)
    for packet in rtcp:
        forwarding.forwarder.receive_rtcp(packet, bo, forwarding.now)
        forwarding.forwarder.receive_rtcp(packet, ada, forwarding.now)
    forwarding.passes(2)
