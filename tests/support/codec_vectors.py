"""The payloads of the captures, and what Wireshark read in them (`tests/vectors/codecs`)."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hushroom_common.header_extensions import read_extensions
from hushroom_common.rtp import RtpPacket, is_rtcp
from tests.support.pcap import RTP_VECTORS, udp_payloads

CODEC_VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "codecs"

DEPENDENCY_DESCRIPTOR_ID = 12
"""What Chromium's offers in the captures map the dependency descriptor to."""


class MediaPacket(NamedTuple):
    """One packet of a capture that carries a payload."""

    ssrc: int
    sequence_number: int
    timestamp: int
    marker: bool
    payload: bytes
    dependency_descriptor: bytes | None


def media_packets(capture: str, payload_type: int) -> Iterator[MediaPacket]:
    """The packets of one payload type, without those that are only padding, in file order."""
    for _, datagram in udp_payloads(RTP_VECTORS / f"{capture}.pcap"):
        if is_rtcp(datagram):
            continue
        packet = RtpPacket.parse(datagram)
        if packet.payload_type == payload_type and packet.payload:
            yield MediaPacket(
                packet.ssrc,
                packet.sequence_number,
                packet.timestamp,
                packet.marker,
                packet.payload,
                read_extensions(packet).get(DEPENDENCY_DESCRIPTOR_ID),
            )


def wireshark_table(name: str) -> list[dict[str, str]]:
    """One row a packet, by field name; "" where Wireshark saw no such field."""
    with (CODEC_VECTORS / f"{name}.tsv").open(newline="") as table:
        return list(csv.DictReader(table, delimiter="\t"))


def packets_with_rows(capture: str, payload_type: int) -> list[tuple[MediaPacket, dict[str, str]]]:
    """Every packet of a capture beside its row; fails unless the table has just these packets."""
    pairs = list(zip(media_packets(capture, payload_type), wireshark_table(capture), strict=True))
    for packet, row in pairs:
        assert (packet.ssrc, packet.sequence_number) == (int(row["rtp.ssrc"], 16), int(row["rtp.seq"]))
    return pairs


def number(field: str) -> int:
    """A field as `Marks` would have it: -1 where there is none."""
    return int(field) if field else -1
