"""A meeting at the forwarder's edge, in virtual time: what goes up comes down rewritten, ready to be looked at."""

import itertools
from collections import defaultdict

from hushroom_common.ids import Codec, Kind, LegId
from hushroom_common.rtcp import (
    GenericNack,
    PictureLossIndication,
    ReceiverReport,
    RtcpPacket,
    compound,
    parse_compound,
)
from hushroom_common.rtp import RtpPacket, build_rtp
from hushroom_common.serial import SequenceUnwrapper
from hushroom_sfu.core.actions import Action, FanOut, Transmit, TransmitRtcp
from hushroom_sfu.core.down_track import ALL_TEMPORAL_LAYERS, DownTrackId
from hushroom_sfu.core.forwarder import Forwarder
from hushroom_sfu.core.route import rewritten
from hushroom_sfu.core.specs import DownTrackSpec, NegotiatedCodec, UpTrackSpec
from hushroom_sfu.core.up_track import UpTrackId
from tests.support.streams import OPUS_PAYLOAD_TYPE, RTX_PAYLOAD_TYPE, VP8_PAYLOAD_TYPE

UNIX_AT_ZERO = 1_700_000_000.0

SRTP_WINDOW = 1024
"""How far behind the newest packet of its SSRC libsrtp still protects one."""


class SrtpIndices:
    """What went out under each SRTP index of one SSRC, as libsrtp counts them (RFC 3711 §3.3.1): one content each."""

    def __init__(self) -> None:
        self._unwrapper = SequenceUnwrapper()
        self._contents: dict[int, bytes] = {}
        self._first = 0

    def protects(self, packet: RtpPacket) -> None:
        index = self._unwrapper.unwrap(packet.sequence_number)
        self._first = self._first or index
        assert index >= self._first, "an index from before the first packet"
        assert (self._unwrapper.highest or 0) - index < SRTP_WINDOW, "too old for SRTP to protect it"
        known = self._contents.setdefault(index, packet.data)
        assert known == packet.data, "one SRTP index carries two contents"

    def unfilled(self) -> list[int]:
        """Indices between the first and the newest under which nothing ever went out."""
        return [index for index in range(self._first, max(self._contents)) if index not in self._contents]


class Forwarding:
    """A forwarder, a clock, and everything that it sent to each leg; no SRTP index is ever used for two contents."""

    def __init__(self) -> None:
        entropy = itertools.cycle(range(256))
        self.forwarder = Forwarder(
            unix_at_zero=UNIX_AT_ZERO, entropy=lambda size: bytes(next(entropy) for _ in range(size))
        )
        self.now = 100.0
        self.rtp: dict[LegId, list[RtpPacket]] = defaultdict(list)
        self.rtcp: dict[LegId, list[RtcpPacket]] = defaultdict(list)
        self.indices: dict[tuple[LegId, int], SrtpIndices] = defaultdict(SrtpIndices)
        self.ssrc_of: dict[DownTrackId, int] = {}
        self._legs = itertools.count(1)
        self._ssrcs = itertools.count(0x5000)

    def leg(self) -> LegId:
        leg = LegId(next(self._legs))
        self.forwarder.add_leg(leg, self.now)
        return leg

    def camera(
        self,
        leg: LegId,
        ssrc: int | None = 0x1000,
        *,
        rtx_ssrc: int | None = None,
        mid: str = "0",
        extensions: tuple[tuple[str, int], ...] = (),
        wants_nack: bool = True,
    ) -> UpTrackId:
        codecs = (NegotiatedCodec(Codec.VP8, VP8_PAYLOAD_TYPE, RTX_PAYLOAD_TYPE),)
        spec = UpTrackSpec(
            mid, Kind.VIDEO, codecs, ssrc, rtx_ssrc, extensions=extensions, wants_nack=wants_nack, wants_pli=True
        )
        return self.forwarder.publish(leg, spec)

    def microphone(self, leg: LegId, ssrc: int = 0x2000) -> UpTrackId:
        codecs = (NegotiatedCodec(Codec.OPUS, OPUS_PAYLOAD_TYPE),)
        return self.forwarder.publish(leg, UpTrackSpec("1", Kind.AUDIO, codecs, ssrc, None))

    def slot(
        self,
        leg: LegId,
        *,
        kind: Kind = Kind.VIDEO,
        with_rtx: bool = False,
        extensions: tuple[tuple[str, int], ...] = (),
    ) -> DownTrackId:
        codec = (
            NegotiatedCodec(Codec.VP8, 120, 121 if with_rtx else None)
            if kind is Kind.VIDEO
            else NegotiatedCodec(Codec.OPUS, 122)
        )
        ssrc = next(self._ssrcs)
        rtx_ssrc = next(self._ssrcs) if with_rtx else None
        spec = DownTrackSpec("v", kind, (codec,), ssrc, rtx_ssrc, cname="seat", extensions=extensions)
        down_track = self.forwarder.open_slot(leg, spec, self.now)
        self.ssrc_of[down_track] = ssrc
        return down_track

    def listens(self, leg: LegId, microphone: UpTrackId) -> DownTrackId:
        slot = self.slot(leg, kind=Kind.AUDIO)
        self.assign(slot, microphone)
        return slot

    @staticmethod
    def sound(number: int, ssrc: int = 0x2000) -> bytes:
        """20 ms of Opus."""
        return build_rtp(
            payload_type=OPUS_PAYLOAD_TYPE,
            marker=False,
            sequence_number=number & 0xFFFF,
            timestamp=number * 960 & 0xFFFFFFFF,
            ssrc=ssrc,
            payload=b"opus",
        )

    def assign(self, slot: DownTrackId, track: UpTrackId, max_temporal_id: int = ALL_TEMPORAL_LAYERS) -> None:
        self._do(self.forwarder.assign(slot, track, self.now, max_temporal_id))

    def release(self, slot: DownTrackId) -> None:
        self._do(self.forwarder.release(slot, self.now))

    def unpublish(self, track: UpTrackId) -> None:
        self._do(self.forwarder.unpublish(track, self.now))

    def arrives(self, leg: LegId, *packets: bytes) -> None:
        for packet in packets:
            self._do(self.forwarder.receive(packet, leg, self.now))

    def arrives_rtcp(self, leg: LegId, *packets: RtcpPacket) -> None:
        self._do(self.forwarder.receive_rtcp(compound(ReceiverReport(ssrc=9, reports=()), *packets), leg, self.now))

    def passes(self, seconds: float) -> None:
        """Lets time pass, calling the forwarder whenever it asked to be called."""
        end = self.now + seconds
        for _ in range(10_000):
            deadline = self.forwarder.next_deadline()
            if deadline is None or deadline > end:
                break
            self.now = max(self.now, deadline)
            self._do(self.forwarder.handle_timeout(self.now))
        else:
            raise AssertionError("the forwarder asks to be called without end")
        self.now = end

    def keyframes_asked_of(self, leg: LegId) -> int:
        return sum(isinstance(packet, PictureLossIndication) for packet in self.rtcp[leg])

    def nacked(self, leg: LegId) -> list[int]:
        return [number for packet in self.rtcp[leg] if isinstance(packet, GenericNack) for number in packet.lost]

    def unfilled(self, leg: LegId) -> dict[int, list[int]]:
        """For each SSRC of the leg with holes in its numbers, these."""
        holes = {ssrc: indices.unfilled() for (of, ssrc), indices in self.indices.items() if of == leg}
        return {ssrc: missing for ssrc, missing in holes.items() if missing}

    def _send(self, leg: LegId, data: bytes) -> None:
        packet = RtpPacket.parse(data)
        self.indices[leg, packet.ssrc].protects(packet)
        self.rtp[leg].append(packet)

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case FanOut(routes, number, dropped_frames, packet):
                    for route in routes:
                        self._send(route.leg, rewritten(route, number, dropped_frames, packet))
                case Transmit(leg, data):
                    self._send(leg, data)
                case TransmitRtcp(leg, data):
                    self.rtcp[leg].extend(parse_compound(data))
