"""Traces of the forwarder as text: what goes in stands at the margin, what comes out is indented below it.

    bo watches ada                          up to layer 0: "bo watches ada, layers 0"
    ada sends 100 K pic=7 tid=0 t=3000      K starts a keyframe, P another frame, "." goes on with one; Y: layer sync
    ada repeats 100 under 7                 the same packet by RTX (RFC 4588); it may have been lost before
    ada loses 101 . pic=7 tid=0 t=3000      sent, but it never came
    ada pads 102 t=3000
    bo nacks 1 2 / bo lost the picture / bo takes layers 0 / bo stops / ada leaves / wait 0.1
        bo gets 1 = ada 100 K pic=7 tid=0 t=3000
        bo gets 2 = padding t=3000
        bo gets rtx 515 for 1 = ada 100 K pic=7 tid=0 t=3000
        ada is asked for 101 / ada is asked for a keyframe

Everybody has one camera or one slot; a slot's numbers begin where the test's entropy lets them. Reports are left out.
"""

import re

from hushroom_common.codecs.vp8 import read_descriptor
from hushroom_common.ids import LegId
from hushroom_common.rtcp import GenericNack, PictureLossIndication
from hushroom_common.rtp import RtpPacket, padding_only, unwrap_rtx, wrap_rtx
from hushroom_sfu.core.down_track import ALL_TEMPORAL_LAYERS, DownTrackId
from hushroom_sfu.core.up_track import UpTrackId
from tests.support.forwarding import Forwarding
from tests.support.streams import RTX_PAYLOAD_TYPE, VP8_PAYLOAD_TYPE, vp8_packet

_PACKET = re.compile(r"(\d+) ([KP.])(Y?) pic=(\d+) tid=(\d) t=(\d+)")


class Trace:
    """Plays the lines of a trace and writes down what happens."""

    def __init__(self) -> None:
        self._forwarding = Forwarding()
        self._names: dict[LegId, str] = {}
        self._legs: dict[str, LegId] = {}
        self._cameras: dict[str, UpTrackId] = {}
        self._slots: dict[str, DownTrackId] = {}
        self._sent: dict[tuple[str, int], bytes] = {}

    def replay(self, text: str) -> str:
        """The trace as it is today: the same lines in, and what comes out of them now."""
        lines: list[str] = []
        for line in text.splitlines():
            if line.startswith("    "):
                continue
            lines.append(line)
            if line and not line.startswith("#"):
                self._plays(line)
                lines += [f"    {said}" for said in self._news()]
        return "\n".join(lines) + "\n"

    def _plays(self, line: str) -> None:
        forwarding = self._forwarding
        words = line.replace(",", "").split()
        match words:
            case ["wait", seconds]:
                forwarding.passes(float(seconds))
            case [who, "watches", whom, *limit]:
                layers = int(limit[1]) if limit else ALL_TEMPORAL_LAYERS
                forwarding.assign(self._slot(who), self._camera(whom), layers)
            case [who, "takes", "layers", layers]:
                forwarding.forwarder.limit(self._slots[who], int(layers))
            case [who, "stops"]:
                forwarding.release(self._slots[who])
            case [who, "leaves"]:
                forwarding.unpublish(self._cameras.pop(who))
            case [who, "sends", *_]:
                forwarding.arrives(self._leg(who), self._packet(who, line))
            case [who, "loses", *_]:
                self._packet(who, line)
            case [who, "repeats", number, "under", rtx_number]:
                lost = RtpPacket.parse(self._sent[who, int(number)])
                repeat = wrap_rtx(
                    lost, payload_type=RTX_PAYLOAD_TYPE, ssrc=lost.ssrc + 0x100, sequence_number=int(rtx_number)
                )
                forwarding.arrives(self._leg(who), repeat)
            case [who, "pads", number, time]:
                padding = padding_only(
                    payload_type=VP8_PAYLOAD_TYPE,
                    sequence_number=int(number),
                    timestamp=int(time.removeprefix("t=")),
                    ssrc=self._ssrc(who),
                )
                forwarding.arrives(self._leg(who), padding)
            case [who, "nacks", *numbers]:
                lost_numbers = tuple(int(number) for number in numbers)
                forwarding.arrives_rtcp(self._leg(who), GenericNack(9, self._slot_ssrc(who), lost_numbers))
            case [who, "lost", "the", "picture"]:
                forwarding.arrives_rtcp(self._leg(who), PictureLossIndication(9, self._slot_ssrc(who)))
            case _:
                raise ValueError(f"no line of a trace: {line}")

    def _news(self) -> list[str]:
        said: list[str] = []
        for leg, name in self._names.items():
            said += [f"{name} gets {self._describes(packet)}" for packet in self._forwarding.rtp.pop(leg, [])]
            for packet in self._forwarding.rtcp.pop(leg, []):
                if isinstance(packet, GenericNack):
                    said.append(f"{name} is asked for {' '.join(map(str, packet.lost))}")
                elif isinstance(packet, PictureLossIndication):
                    said.append(f"{name} is asked for a keyframe")
        return said

    def _describes(self, packet: RtpPacket) -> str:
        if packet.payload_type == 121:
            original = RtpPacket.parse(unwrap_rtx(packet, payload_type=120, ssrc=packet.ssrc - 1))
            content = self._content(original)
            return f"rtx {packet.sequence_number} for {original.sequence_number} = {content}"
        return f"{packet.sequence_number} = {self._content(packet)}"

    def _content(self, packet: RtpPacket) -> str:
        if not packet.payload:
            return f"padding t={packet.timestamp}"
        descriptor = read_descriptor(packet.payload)
        body = packet.payload[descriptor.size :]
        starts = descriptor.starts_partition
        kind = ("P" if body[0] & 1 else "K") if starts else "."
        sync = "Y" if descriptor.is_layer_sync else ""
        source = (body[1:] if starts else body).decode()
        return f"{source} {kind}{sync} pic={descriptor.picture_id} tid={descriptor.temporal_id} t={packet.timestamp}"

    def _packet(self, who: str, line: str) -> bytes:
        match = _PACKET.search(line)
        if match is None:
            raise ValueError(f"no packet: {line}")
        number, kind, sync, picture_id, temporal_id, time = match.groups()
        self._sent[who, int(number)] = packet = vp8_packet(
            int(number),
            ssrc=self._ssrc(who),
            starts_frame=kind != ".",
            is_keyframe=kind == "K",
            is_layer_sync=bool(sync),
            picture_id=int(picture_id),
            temporal_id=int(temporal_id),
            timestamp=int(time),
            body=f"{who} {number}".encode(),
        )
        return packet

    def _leg(self, who: str) -> LegId:
        if who not in self._legs:
            self._legs[who] = leg = self._forwarding.leg()
            self._names[leg] = who
        return self._legs[who]

    def _ssrc(self, who: str) -> int:
        self._camera(who)
        return 0x1000 + int(self._leg(who))

    def _camera(self, who: str) -> UpTrackId:
        if who not in self._cameras:
            ssrc = 0x1000 + int(self._leg(who))
            self._cameras[who] = self._forwarding.camera(self._leg(who), ssrc, rtx_ssrc=ssrc + 0x100)
        return self._cameras[who]

    def _slot(self, who: str) -> DownTrackId:
        if who not in self._slots:  # who is called "...-rtx" negotiated it
            self._slots[who] = self._forwarding.slot(self._leg(who), with_rtx=who.endswith("-rtx"))
        return self._slots[who]

    def _slot_ssrc(self, who: str) -> int:
        return self._forwarding.ssrc_of[self._slot(who)]
