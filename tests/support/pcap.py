"""Just enough of the pcap format to read our captures: classic header, raw-IP link type, UDP over IPv4."""

import struct
from collections.abc import Iterator
from pathlib import Path

RTP_VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "rtp"

_LINKTYPE_RAW_IP = 101
_UDP = 17


def udp_payloads(capture: Path) -> Iterator[tuple[float, bytes]]:
    """Each datagram of a capture as (timestamp in seconds, UDP payload), in file order."""
    data = capture.read_bytes()
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}.get(data[:4])
    if order is None:
        raise ValueError(f"{capture.name} is not a classic pcap file with microseconds")
    (link_type,) = struct.unpack_from(f"{order}I", data, 20)
    if link_type != _LINKTYPE_RAW_IP:
        raise ValueError(f"{capture.name} has link type {link_type}, not raw IP")
    offset = 24
    while offset < len(data):
        seconds, microseconds, captured, _original = struct.unpack_from(f"{order}IIII", data, offset)
        offset += 16
        yield seconds + microseconds / 1e6, _udp_payload(data[offset : offset + captured])
        offset += captured


def _udp_payload(ip: bytes) -> bytes:
    if ip[0] >> 4 != 4 or ip[9] != _UDP:
        raise ValueError("not UDP over IPv4")
    start = (ip[0] & 0x0F) * 4
    (length,) = struct.unpack_from("!H", ip, start + 4)
    return ip[start + 8 : start + length]


def captures() -> list[Path]:
    """All captures of browsers' RTP."""
    return sorted(RTP_VECTORS.glob("*.pcap"))
