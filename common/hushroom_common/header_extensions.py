"""RTP header extensions (RFC 8285): read, whitelist, rebuild.

Elements are never forwarded as they came: sender and receiver negotiate ids of their own, and a receiver is shown only
what it asked for. What the values mean is the business of whoever reads one.
"""

import struct
from collections.abc import Collection, Iterable
from enum import StrEnum

from hushroom_common.errors import WireError
from hushroom_common.rtp import RtpPacket

__all__ = ["ExtensionMap", "ExtensionUri", "build_extensions", "read_extensions"]

_ONE_BYTE_PROFILE = 0xBEDE
_TWO_BYTE_PROFILE = 0x1000
_HEADER = struct.Struct("!HH")


class ExtensionUri(StrEnum):
    """The extensions that browsers offer, by the name that SDP's extmap gives them."""

    MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
    RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
    REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
    AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
    CSRC_AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:csrc-audio-level"
    TRANSMISSION_OFFSET = "urn:ietf:params:rtp-hdrext:toffset"
    VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
    ABSOLUTE_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
    ABSOLUTE_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
    TRANSPORT_WIDE_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
    PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
    VIDEO_CONTENT_TYPE = "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type"
    VIDEO_TIMING = "http://www.webrtc.org/experiments/rtp-hdrext/video-timing"
    VIDEO_LAYERS_ALLOCATION = "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00"
    COLOR_SPACE = "http://www.webrtc.org/experiments/rtp-hdrext/color-space"
    DEPENDENCY_DESCRIPTOR = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"


def read_extensions(packet: RtpPacket) -> dict[int, bytes]:
    """The elements of a packet's extension by id; empty without one, or in a form that RFC 8285 does not define.

    Of two elements with one id the last counts. Raises WireError when an element runs over the end.
    """
    profile = packet.extension_profile
    if profile == _ONE_BYTE_PROFILE:
        return _read_one_byte(packet.data, packet.extension_start, packet.extension_end)
    if profile & 0xFFF0 == _TWO_BYTE_PROFILE:
        return _read_two_byte(packet.data, packet.extension_start, packet.extension_end)
    return {}


def _read_one_byte(data: bytes, at: int, end: int) -> dict[int, bytes]:
    elements: dict[int, bytes] = {}
    while at < end:
        head = data[at]
        at += 1
        if not head:  # padding
            continue
        # RFC 8285 §4.2: at id 15, and at id 0 with a length, reading MUST end; what came before counts.
        if head >= 0xF0 or head < 0x10:
            break
        stop = at + (head & 0x0F) + 1
        if stop > end:
            raise WireError("header extension element is cut off")
        elements[head >> 4] = data[at:stop]
        at = stop
    return elements


def _read_two_byte(data: bytes, at: int, end: int) -> dict[int, bytes]:
    elements: dict[int, bytes] = {}
    while at < end:
        identifier = data[at]
        at += 1
        if not identifier:  # RFC 8285 §4.3: padding, one byte without a length
            continue
        if at == end:
            raise WireError("header extension element has no length")
        stop = at + 1 + data[at]
        if stop > end:
            raise WireError("header extension element is cut off")
        elements[identifier] = data[at + 1 : stop]
        at = stop
    return elements


def build_extensions(elements: Iterable[tuple[int, bytes]]) -> bytes:
    """The whole block with its 4-byte header, padded to words; b"" for no elements.

    The one-byte form wherever ids (1-14) and sizes (1-16) allow it, else the two-byte form for all. Raises ValueError
    for an id outside 1-255 or a value over 255 bytes.
    """
    pairs = tuple(elements)
    if not pairs:
        return b""
    body = bytearray(_HEADER.size)
    for identifier, value in pairs:
        size = len(value)
        if not (0 < identifier < 15 and 0 < size <= 16):
            return _build_two_byte(pairs)
        body.append(identifier << 4 | size - 1)
        body += value
    return _finish(_ONE_BYTE_PROFILE, body)


def _build_two_byte(pairs: Iterable[tuple[int, bytes]]) -> bytes:
    body = bytearray(_HEADER.size)
    for identifier, value in pairs:
        if not 0 < identifier < 256 or len(value) > 255:
            raise ValueError("extension ids are 1-255 and values at most 255 bytes")
        body.append(identifier)
        body.append(len(value))
        body += value
    return _finish(_TWO_BYTE_PROFILE, body)


def _finish(profile: int, block: bytearray) -> bytes:
    block += bytes(-len(block) % 4)
    _HEADER.pack_into(block, 0, profile, len(block) // 4 - 1)
    return bytes(block)


class ExtensionMap:
    """What one receiver gets of one sender's extensions, and under which ids.

    Compiled from both sides' (URI, id) pairs as negotiated for their m-lines, and the URIs that may pass at all.
    """

    __slots__ = ("_receiver_ids",)

    def __init__(
        self,
        sender: Iterable[tuple[str, int]],
        receiver: Iterable[tuple[str, int]],
        whitelist: Collection[str],
    ) -> None:
        wanted = {uri: identifier for uri, identifier in receiver if uri in whitelist}
        self._receiver_ids = {identifier: wanted[uri] for uri, identifier in sender if uri in wanted}

    def rebuild(self, packet: RtpPacket) -> bytes:
        """The extension block for the receiver, or b"" when nothing of the packet's passes.

        Raises WireError when the packet's extension is broken, if anything of this sender's could pass.
        """
        receiver_ids = self._receiver_ids
        if not receiver_ids or not packet.extension_profile:
            return b""
        elements = read_extensions(packet)
        return build_extensions(
            [(receiver_ids[identifier], value) for identifier, value in elements.items() if identifier in receiver_ids]
        )
