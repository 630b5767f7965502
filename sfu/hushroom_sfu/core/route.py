"""One subscriber's copy of a track: the numbers that turn an ingress packet into his, frozen while they are in use.

A route never changes: a new layer or a new track in the slot makes a new route. So a retransmission is built from the
same numbers as the packet that it repeats, and is identical to the last bit: SRTP must never protect one index with two
contents (RFC 3711 §9.1, RFC 7714 §8.4).
"""

import struct

from hushroom_common.codecs.marks import rewrite_picture_numbers
from hushroom_common.header_extensions import ExtensionMap
from hushroom_common.ids import LegId
from hushroom_sfu.core.packet import FILLER_SIZE, MediaPacket

__all__ = ["Route", "rewritten"]

_HEADER = struct.Struct("!BBHII")
_FILLER = bytes(FILLER_SIZE - 1) + bytes([FILLER_SIZE])


class Route:
    """The compiled decision "this track goes to that slot like this".

    `*_base` are subtracted from the ingress numbers, modulo their width. `first_number` is the class number (see
    `temporal_class`) of the first packet.
    """

    __slots__ = (
        "extension_map",
        "first_number",
        "keeps_picture_numbers",
        "leg",
        "payload_type",
        "picture_id_base",
        "sequence_base",
        "ssrc",
        "timestamp_base",
        "tl0picidx_base",
    )

    def __init__(
        self,
        *,
        leg: LegId,
        ssrc: int,
        payload_type: int,
        extension_map: ExtensionMap,
        first_number: int,
        sequence_base: int,
        timestamp_base: int,
        picture_id_base: int,
        tl0picidx_base: int,
    ) -> None:
        self.leg = leg
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.extension_map = extension_map
        self.first_number = first_number
        self.sequence_base = sequence_base
        self.timestamp_base = timestamp_base
        self.picture_id_base = picture_id_base
        self.tl0picidx_base = tl0picidx_base
        self.keeps_picture_numbers = not (picture_id_base or tl0picidx_base)


def rewritten(route: Route, number: int, dropped_frames: int, packet: MediaPacket) -> bytes:
    """The packet as this subscriber gets it, before SRTP: fixed header (RFC 3550 §5.1), extensions, payload.

    `number` and `dropped_frames` are those of the route's class at this packet. Payload bytes leave as they came, save
    PictureID and TL0PICIDX (RFC 7741 §4.2) where frames were dropped or another track used the slot before.
    """
    sequence_number = (number - route.sequence_base) & 0xFFFF
    timestamp = (packet.timestamp - route.timestamp_base) & 0xFFFFFFFF
    if packet.is_filler:
        return _HEADER.pack(0xA0, route.payload_type, sequence_number, timestamp, route.ssrc) + _FILLER
    if route.keeps_picture_numbers and not dropped_frames:
        tail = packet.tail(route.extension_map)
    else:
        marks = packet.marks
        tail = packet.extensions(route.extension_map) + rewrite_picture_numbers(
            packet.payload,
            marks,
            picture_id=marks.picture_id - dropped_frames - route.picture_id_base,
            tl0picidx=marks.tl0picidx - route.tl0picidx_base,
        )
    has_extension = 0x10 if len(tail) > len(packet.payload) else 0
    return (
        _HEADER.pack(0x80 | has_extension, packet.marker | route.payload_type, sequence_number, timestamp, route.ssrc)
        + tail
    )
