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
from hushroom_common.rtp import RtpPacket
from hushroom_sfu.core.actions import Action, FanOut, Transmit, TransmitRtcp
from hushroom_sfu.core.down_track import ALL_TEMPORAL_LAYERS, DownTrackId
from hushroom_sfu.core.forwarder import Forwarder
from hushroom_sfu.core.route import rewritten
from hushroom_sfu.core.specs import DownTrackSpec, NegotiatedCodec, UpTrackSpec
from hushroom_sfu.core.up_track import UpTrackId
from tests.support.streams import OPUS_PAYLOAD_TYPE, RTX_PAYLOAD_TYPE, VP8_PAYLOAD_TYPE

UNIX_AT_ZERO = 1_700_000_000.0


class Forwarding:
    """A forwarder, a clock, and everything that it sent to each leg."""

    def __init__(self) -> None:
        entropy = itertools.cycle(range(256))
        self.forwarder = Forwarder(
            unix_at_zero=UNIX_AT_ZERO, entropy=lambda size: bytes(next(entropy) for _ in range(size))
        )
        self.now = 100.0
        self.rtp: dict[LegId, list[RtpPacket]] = defaultdict(list)
        self.rtcp: dict[LegId, list[RtcpPacket]] = defaultdict(list)
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
        return self.forwarder.open_slot(leg, spec, self.now)

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

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case FanOut(routes, number, dropped_frames, packet):
                    for route in routes:
                        self.rtp[route.leg].append(RtpPacket.parse(rewritten(route, number, dropped_frames, packet)))
                case Transmit(leg, data):
                    self.rtp[leg].append(RtpPacket.parse(data))
                case TransmitRtcp(leg, data):
                    self.rtcp[leg].extend(parse_compound(data))
