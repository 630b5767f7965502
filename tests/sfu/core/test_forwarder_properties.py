"""Whatever publishers send and subscribers ask, in whatever order: the forwarder's promises hold.

`Forwarding` itself sees to it that no SRTP index ever carries two contents.
"""

import itertools
from collections import defaultdict
from random import Random
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from hushroom_common.codecs.vp8 import read_descriptor, starts_keyframe
from hushroom_common.ids import LegId
from hushroom_common.rtcp import GenericNack, PictureLossIndication, SenderReport, ntp_from_unix, unix_from_ntp
from hushroom_common.rtp import RtpPacket, unwrap_rtx, wrap_rtx
from hushroom_common.serial import SequenceUnwrapper, ts_distance
from hushroom_sfu.core.down_track import DownTrackId
from hushroom_sfu.core.up_track import UpTrackId
from tests.support.forwarding import UNIX_AT_ZERO, Forwarding
from tests.support.streams import RTX_PAYLOAD_TYPE, Vp8Stream

QUIET = ("frames", "frames", "frames", "frames", "assign", "release", "limit", "nack", "pli", "time", "report")
ROUGH = (*QUIET, "late", "late", "twice", "burst", "republish")

VIDEO_CLOCK = 90_000


class Frame(NamedTuple):
    """A frame as its publisher counts it, and the numbers that a subscriber got with it."""

    source: tuple[int, int]
    """The stream's SSRC and the frame's place in it."""
    temporal_id: int
    picture_id: int
    tl0picidx: int


class Chaos:
    """Two publishers with temporal layers, two subscribers with two slots each, and a seed that decides everything."""

    def __init__(self, seed: int, *, is_rough: bool) -> None:
        self.random = Random(seed)
        self.loss = self.random.choice((0.02, 0.15, 0.4)) if is_rough else 0.0
        self.bits = self.random.choice((7, 15))
        self.forwarding = Forwarding()
        self.publishers = [self.forwarding.leg() for _ in range(2)]
        self.streams = [self._stream(index) for index in range(2)]
        self.tracks = [self._publishes(index) for index in range(2)]
        self.subscribers = [self.forwarding.leg() for _ in range(2)]
        self.slots = [
            (leg, self.forwarding.slot(leg, with_rtx=with_rtx))
            for leg in self.subscribers
            for with_rtx in (False, True)
        ]
        self.sent_bodies: set[bytes] = set()
        self.held_back: list[tuple[int, bytes]] = []
        self.passed: list[tuple[int, bytes]] = []

    def does(self, operation: str) -> None:
        getattr(self, f"_{operation}")()

    def settles(self) -> None:
        """Everybody sends a keyframe and says what time it is, and all that was given up is filled."""
        self.forwarding.passes(3)
        for index in range(2):
            for packet in self.streams[index].sends("K"):
                self._note(packet)
                self.forwarding.arrives(self.publishers[index], packet)
        self._report()
        self.forwarding.passes(3)

    def out(self) -> dict[int, list[RtpPacket]]:
        """What each slot got, by its SSRC and in order of the numbers; repeats left out."""
        by_ssrc: dict[int, list[RtpPacket]] = {}
        for leg, slot in self.slots:
            ssrc, unwrapper = self.forwarding.ssrc_of[slot], SequenceUnwrapper()
            packets = [packet for packet in self.forwarding.rtp[leg] if packet.ssrc == ssrc]
            by_number = {unwrapper.unwrap(packet.sequence_number): packet for packet in packets}
            by_ssrc[ssrc] = [by_number[number] for number in sorted(by_number)]
        return by_ssrc

    def repeats(self) -> list[RtpPacket]:
        """What went out by RTX, unwrapped."""
        return [
            RtpPacket.parse(unwrap_rtx(packet, payload_type=120, ssrc=packet.ssrc - 1))
            for leg in self.subscribers
            for packet in self.forwarding.rtp[leg]
            if packet.payload_type == 121
        ]

    def _stream(self, index: int) -> Vp8Stream:
        return Vp8Stream(
            ssrc=0x1000 + index,
            temporal_layers=True,
            packets_per_frame=self.random.choice((1, 3)),
            sequence_number=self.random.choice((0, 30_000, 65_500)),
            timestamp=self.random.randrange(1 << 32),
            picture_id=self.random.randrange(1 << self.bits),
            picture_id_bits=self.bits,
        )

    def _publishes(self, index: int) -> UpTrackId:
        ssrc = self.streams[index].ssrc
        return self.forwarding.camera(self.publishers[index], ssrc, rtx_ssrc=ssrc + 0x100)

    def _note(self, packet: bytes) -> None:
        payload = RtpPacket.parse(packet).payload
        self.sent_bodies.add(payload[read_descriptor(payload).size :])

    def _frames(self) -> None:
        index = self.random.randrange(2)
        for packet in self.streams[index].frame(is_keyframe=self.random.random() < 0.2):
            self._note(packet)
            if self.random.random() < self.loss:
                self.held_back.append((index, packet))
                continue
            self.passed.append((index, packet))
            self.forwarding.arrives(self.publishers[index], packet)

    def _burst(self) -> None:
        """Up to some 300 packets in a row are gone, or the first or last of them only late."""
        index = self.random.randrange(2)
        lost = [
            packet
            for _ in range(self.random.randrange(1, 100))
            for packet in self.streams[index].frame(is_keyframe=self.random.random() < 0.1)
        ]
        for packet in (lost[0], lost[-1]):
            self._note(packet)
            self.held_back.append((index, packet))

    def _late(self) -> None:
        if not self.held_back:
            return
        index, packet = self.held_back.pop(self.random.randrange(len(self.held_back)))
        if self.random.random() < 0.5:
            lost = RtpPacket.parse(packet)
            number = self.random.randrange(1 << 16)
            packet = wrap_rtx(lost, payload_type=RTX_PAYLOAD_TYPE, ssrc=lost.ssrc + 0x100, sequence_number=number)
        self.forwarding.arrives(self.publishers[index], packet)

    def _twice(self) -> None:
        if self.passed:
            index, packet = self.random.choice(self.passed[-30:])
            self.forwarding.arrives(self.publishers[index], packet)

    def _republish(self) -> None:
        index = self.random.randrange(2)
        self.forwarding.unpublish(self.tracks[index])
        self.tracks[index] = self._publishes(index)
        self.held_back = [(of, packet) for of, packet in self.held_back if of != index]
        self.passed = [(of, packet) for of, packet in self.passed if of != index]

    def _assign(self) -> None:
        self.forwarding.assign(self._slot(), self.random.choice(self.tracks), self.random.choice((0, 1, 2, 7)))

    def _release(self) -> None:
        self.forwarding.release(self._slot())

    def _limit(self) -> None:
        self.forwarding.forwarder.limit(self._slot(), self.random.choice((0, 1, 2, 7)))

    def _slot(self) -> DownTrackId:
        return self.random.choice(self.slots)[1]

    def _nack(self) -> None:
        leg, received = self._received()
        if received:
            packet = self.random.choice(received[-60:])
            first = packet.sequence_number if self.random.random() < 0.9 else self.random.randrange(1 << 16)
            lost = tuple((first + step) & 0xFFFF for step in range(self.random.randrange(1, 5)))
            nack = GenericNack(sender_ssrc=9, media_ssrc=packet.ssrc, lost=lost)
            self.forwarding.arrives_rtcp(leg, nack)

    def _pli(self) -> None:
        leg, received = self._received()
        if received:
            pli = PictureLossIndication(sender_ssrc=9, media_ssrc=self.random.choice(received).ssrc)
            self.forwarding.arrives_rtcp(leg, pli)

    def _received(self) -> tuple[LegId, list[RtpPacket]]:
        leg = self.random.choice(self.subscribers)
        return leg, self.forwarding.rtp[leg]

    def _report(self) -> None:
        """Publishers' clocks differ from the server's, by a constant; their streams' next frames are due now."""
        for index, stream in enumerate(self.streams):
            ntp_time = ntp_from_unix(UNIX_AT_ZERO + self.forwarding.now - 1_000_000 * (index + 1))
            report = SenderReport(stream.ssrc, ntp_time, stream.timestamp & 0xFFFFFFFF, 1, 1, ())
            self.forwarding.arrives_rtcp(self.publishers[index], report)

    def _time(self) -> None:
        self.forwarding.passes(self.random.choice((0.005, 0.03, 0.2, 1.2)))


def frames_of(packets: list[RtpPacket]) -> list[Frame]:
    """The frames in a slot's packets, in order."""
    frames: list[Frame] = []
    for packet in packets:
        if not packet.payload:
            continue
        descriptor = read_descriptor(packet.payload)
        words = packet.payload[descriptor.size + descriptor.starts_partition :].split()
        source = int(words[0]), int(words[2])
        frame = Frame(source, descriptor.temporal_id, descriptor.picture_id, descriptor.tl0picidx)
        if not frames or frames[-1] != frame:
            frames.append(frame)
    return frames


def check_slot(packets: list[RtpPacket], sent_bodies: set[bytes]) -> None:
    """What holds for each slot, whatever happened."""
    assert starts_keyframe(packets[0].payload), "something came before the first keyframe"
    for packet in packets:
        payload = packet.payload
        assert not payload or payload[read_descriptor(payload).size :] in sent_bodies
    full = [packet for packet in packets if packet.payload]
    for before, after in itertools.pairwise(full):
        assert ts_distance(after.timestamp, before.timestamp) >= 0, "RTP time runs backwards"


def check_pictures(frames: list[Frame], bits: int, *, is_whole: bool) -> None:
    """PictureIDs name one frame each and rise; without losses they and TL0PICIDX have no gap at all."""
    modulus = 1 << bits
    seen: dict[tuple[int, int], Frame] = {}
    for frame in frames:
        assert seen.setdefault(frame.source, frame) == frame, "the packets of a frame disagree"
    for before, after in itertools.pairwise(frames):
        step = (after.picture_id - before.picture_id) % modulus
        has_wrapped = after.source[1] - before.source[1] >= modulus and before.source[0] == after.source[0]
        assert step != 0 or has_wrapped, "two frames share a PictureID"
        if is_whole:
            assert step == 1, "a gap in the PictureIDs"
            assert (after.tl0picidx - before.tl0picidx) & 0xFF == (after.temporal_id == 0)


def check_reports(chaos: Chaos) -> None:
    """The last sender report of each slot names the RTP time that its track's next frame would have at that moment."""
    for leg, slot in chaos.slots:
        ssrc = chaos.forwarding.ssrc_of[slot]
        reports = [one for one in chaos.forwarding.rtcp[leg] if isinstance(one, SenderReport) and one.ssrc == ssrc]
        packets = [packet for packet in chaos.out()[ssrc] if packet.payload]
        if not reports or not packets or unix_from_ntp(reports[-1].ntp_time) < UNIX_AT_ZERO + chaos.forwarding.now - 2:
            continue  # the slot carries nothing at the end
        last, report = packets[-1], reports[-1]
        # Every stream ended with a keyframe, 3 s ago; the report named the RTP time one frame later.
        expected = (
            last.timestamp
            + 3000
            + (unix_from_ntp(report.ntp_time) - UNIX_AT_ZERO - chaos.forwarding.now + 3) * (VIDEO_CLOCK)
        )
        assert abs(ts_distance(report.rtp_time, round(expected) & 0xFFFFFFFF)) <= 2


def check(chaos: Chaos, operations: list[str], *, is_whole: bool) -> None:
    for operation in operations:
        chaos.does(operation)
    chaos.settles()
    contents: dict[int, dict[int, list[bytes]]] = defaultdict(lambda: defaultdict(list))
    for ssrc, packets in chaos.out().items():
        if not packets:
            continue
        check_slot(packets, chaos.sent_bodies)
        check_pictures(frames_of(packets), chaos.bits, is_whole=is_whole)
        for packet in packets:
            contents[ssrc][packet.sequence_number].append(packet.data)
    for repeat in chaos.repeats():
        assert repeat.payload == b"" or repeat.data in contents[repeat.ssrc][repeat.sequence_number]
    check_reports(chaos)
    for leg in chaos.subscribers:
        assert chaos.forwarding.unfilled(leg) == {}


STEPS = st.integers(20, 400)
"""Drawn one by one hypothesis makes few operations: too few to get far. A failure still shrinks by their count."""


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), steps=STEPS)
def test_the_forwarders_promises(seed: int, steps: int) -> None:
    check(Chaos(seed, is_rough=True), Random(seed).choices(ROUGH, k=steps), is_whole=False)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), steps=STEPS)
def test_without_losses_pictures_have_no_gap_of_the_servers_making(seed: int, steps: int) -> None:
    check(Chaos(seed, is_rough=False), Random(seed).choices(QUIET, k=steps), is_whole=True)


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
