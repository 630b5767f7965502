from contextlib import suppress
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.errors import WireError
from hushroom_common.rtcp import (
    FirEntry,
    FullIntraRequest,
    GenericNack,
    Goodbye,
    PictureLossIndication,
    ReceiverEstimatedMaximumBitrate,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SdesChunk,
    SenderReport,
    SourceDescription,
    compound,
    middle_32,
    ntp_from_unix,
    parse_compound,
    unix_from_ntp,
)
from tests.fuzz.target_rtcp import meanings

u8, u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))


T = TypeVar("T")


def tuples_of(strategy: st.SearchStrategy[T], most: int, least: int = 0) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


blocks = st.builds(
    ReportBlock,
    ssrc=u32,
    fraction_lost=u8,
    packets_lost=st.integers(-(2**23), 2**23 - 1),
    highest_sequence=u32,
    jitter=u32,
    lsr=u32,
    dlsr=u32,
)
sender_reports = st.builds(
    SenderReport,
    ssrc=u32,
    ntp_time=u64,
    rtp_time=u32,
    packet_count=u32,
    octet_count=u32,
    reports=tuples_of(blocks, 4),
)
items = tuples_of(st.tuples(st.integers(1, 255), st.binary(max_size=255)), 4)
packets: st.SearchStrategy[RtcpPacket] = st.one_of(
    sender_reports,
    st.builds(ReceiverReport, ssrc=u32, reports=tuples_of(blocks, 31)),
    st.builds(SourceDescription, chunks=tuples_of(st.builds(SdesChunk, ssrc=u32, items=items), 5)),
    st.builds(Goodbye, sources=tuples_of(u32, 31), reason=st.binary(max_size=255)),
    st.builds(PictureLossIndication, sender_ssrc=u32, media_ssrc=u32),
    st.builds(
        FullIntraRequest,
        sender_ssrc=u32,
        entries=tuples_of(st.builds(FirEntry, ssrc=u32, sequence_number=u8), 5, least=1),
    ),
    st.builds(
        ReceiverEstimatedMaximumBitrate,
        sender_ssrc=u32,
        bitrate_bps=st.integers(0, 2**18 - 1).flatmap(lambda m: st.integers(0, 63).map(lambda e: m << e)),
        ssrcs=tuples_of(u32, 255),
    ),
)


# --- bytes as the RFCs draw them --------------------------------------------------------------------------------


def test_a_sender_report_lies_as_rfc_3550_draws_it() -> None:
    block = ReportBlock(0x11223344, 0x80, -2, 0x00010005, 9, 0xAABBCCDD, 0x10000)
    report = SenderReport(0x0A0B0C0D, 0x0102030405060708, 0x090A0B0C, 7, 700, (block,))
    assert report.to_bytes() == bytes.fromhex(
        "81c8000c 0a0b0c0d 0102030405060708 090a0b0c 00000007 000002bc"  # §6.4.1: RC=1, PT=200, 13 words in all
        "11223344 80fffffe 00010005 00000009 aabbccdd 00010000"
    )


def test_a_nack_lies_as_rfc_4585_draws_it() -> None:
    # §6.2.1: V=2, FMT=1, PT=205; PID 65535, then bit i set for PID + i + 1 modulo 2^16.
    nack = GenericNack(1, 2, (65535, 0, 15))
    assert nack.to_bytes() == bytes.fromhex("81cd0003 00000001 00000002 ffff8001")


def test_keyframe_requests_lie_as_their_rfcs_draw_them() -> None:
    assert PictureLossIndication(1, 2).to_bytes() == bytes.fromhex("81ce0002 00000001 00000002")
    # RFC 5104 §4.3.1.1: media source 0, then SSRC, number, 24 reserved bits.
    fir = FullIntraRequest(1, (FirEntry(2, 9),))
    assert fir.to_bytes() == bytes.fromhex("84ce0004 00000001 00000000 00000002 09000000")


def test_remb_lies_as_its_draft_draws_it() -> None:
    # draft-alvestrand-rmcat-remb-03 §2.2: name, Num SSRC, 6 bits of exponent, 18 of mantissa.
    remb = ReceiverEstimatedMaximumBitrate(1, 0x3FFFF << 2, (5,))
    assert remb.to_bytes() == bytes.fromhex("8fce0005 00000001 00000000 52454d42 010bffff 00000005")


def test_a_description_ends_each_chunk_on_a_word() -> None:
    one = SourceDescription((SdesChunk.with_cname(7, "ab"),))
    assert one.to_bytes() == bytes.fromhex("81ca0003 00000007 0102 6162 00000000")  # a full word of zeros
    two = SourceDescription((SdesChunk.with_cname(7, "a"), SdesChunk(8)))
    assert two.to_bytes() == bytes.fromhex("82ca0004 00000007 010161 00 00000008 00000000")


def test_a_goodbye_lies_as_rfc_3550_draws_it() -> None:
    assert Goodbye((7,)).to_bytes() == bytes.fromhex("81cb0001 00000007")
    assert Goodbye((7,), b"bye").to_bytes() == bytes.fromhex("81cb0002 00000007 03627965")


def test_a_compound_is_read_in_order() -> None:
    # RFC 3550 §6.1: report, description, then the rest.
    datagram = bytes.fromhex(
        "80c90001 0000000181ca0002 00000001 0101610081cd0003 00000001 00000002 0005000081ce0002 00000001 00000002"
    )
    assert parse_compound(datagram) == (
        ReceiverReport(1),
        SourceDescription((SdesChunk.with_cname(1, "a"),)),
        GenericNack(1, 2, (5,)),
        PictureLossIndication(1, 2),
    )
    assert compound(*parse_compound(datagram)) == datagram


# --- round trips ------------------------------------------------------------------------------------------------


@given(st.lists(packets, min_size=1, max_size=4))
def test_what_is_built_is_read_back(built: list[RtcpPacket]) -> None:
    assert parse_compound(compound(*built)) == tuple(built)


@given(st.lists(u16, min_size=1, max_size=60))
def test_a_nack_names_exactly_what_is_lost(lost: list[int]) -> None:
    (nack,) = parse_compound(GenericNack(1, 2, tuple(lost)).to_bytes())
    assert isinstance(nack, GenericNack)
    assert set(nack.lost) == set(lost)


@given(u16, st.integers(1, 17 * 5))
def test_a_burst_of_losses_takes_four_bytes_for_seventeen(first: int, count: int) -> None:
    lost = tuple((first + offset) & 0xFFFF for offset in range(count))
    datagram = GenericNack(1, 2, lost).to_bytes()
    assert len(datagram) == 12 + 4 * -(-count // 17)
    (nack,) = parse_compound(datagram)
    assert nack == GenericNack(1, 2, lost)


@given(st.integers(0, 2**81 - 1))
def test_remb_keeps_eighteen_bits_and_never_rounds_up(bitrate_bps: int) -> None:
    (remb,) = parse_compound(ReceiverEstimatedMaximumBitrate(1, bitrate_bps, ()).to_bytes())
    assert isinstance(remb, ReceiverEstimatedMaximumBitrate)
    assert 0 <= bitrate_bps - remb.bitrate_bps <= bitrate_bps >> 17


@pytest.mark.parametrize(("lost", "reported"), [(2**23, 2**23 - 1), (-(2**23) - 1, -(2**23))])
def test_a_loss_beyond_24_bits_is_reported_as_the_extreme(lost: int, reported: int) -> None:
    (report,) = parse_compound(ReceiverReport(1, (ReportBlock(2, 0, lost, 0, 0, 0, 0),)).to_bytes())
    assert isinstance(report, ReceiverReport)
    assert report.reports[0].packets_lost == reported


def test_a_name_that_is_not_utf_8_does_not_stop_the_reader() -> None:
    assert SdesChunk(1, ((1, b"a\xff"),)).cname == "a\N{REPLACEMENT CHARACTER}"
    assert SdesChunk(1, ((2, b"name"), (1, b"ada"))).cname == "ada"
    assert SdesChunk(1).cname is None


# --- what is skipped and what must not pass ---------------------------------------------------------------------

PLI = PictureLossIndication(1, 2)


@pytest.mark.parametrize(
    "unknown",
    [
        "80cc0002 00000001 6e616d65",  # APP
        "80cf0001 00000001",  # XR, RFC 3611
        "8fcd0002 00000001 00000002",  # transport-wide congestion control
        "81c00000",
        "8fce0003 00000001 00000002 474f4f47",  # application-layer feedback of somebody else's
        "8fce0002 00000001 00000002",
        "82ce0002 00000001 00000002",  # SLI
    ],
)
def test_unknown_packets_are_skipped_and_their_neighbours_read(unknown: str) -> None:
    assert parse_compound(PLI.to_bytes() + bytes.fromhex(unknown) + PLI.to_bytes()) == (PLI, PLI)


def test_a_profiles_own_tail_of_a_report_is_ignored() -> None:
    assert parse_compound(bytes.fromhex("80c90002 00000001 deadbeef")) == (ReceiverReport(1),)


def test_the_last_packet_may_be_padded() -> None:
    assert parse_compound(PLI.to_bytes() + bytes.fromhex("a1ce0003 00000001 00000002 00000004")) == (PLI, PLI)


@pytest.mark.parametrize(
    ("datagram", "why"),
    [
        ("", "empty"),
        ("81ce00", "header cut off"),
        ("81ce0002 00000001 00000002 81", "second header cut off"),
        ("41ce0002 00000001 00000002", "version 1"),
        ("81ce0003 00000001 00000002", "shorter than it says"),
        ("a1ce0003 00000001 00000002 00000004 81ce0002 00000001 00000002", "padding before the last packet"),
        ("a1ce0003 00000001 00000002 00000000", "padding of 0"),
        ("a1ce0003 00000001 00000002 00000002", "padding that is no multiple of four"),
        ("a1ce0003 00000001 00000002 00000010", "padding longer than the packet"),
        ("a1ce0000", "padding of a packet without a body"),
        ("a1ce0002 00000001 00000004", "padding that eats the media source"),
        ("80c80005 00000001 0102030405060708 00000003 00000004", "SR without its octet count"),
        ("81c80006 00000001 0102030405060708 00000003 00000004 00000005", "SR without its block"),
        ("80c90000", "RR without SSRC"),
        ("81c90001 00000001", "RR without its block"),
        ("81ca0000", "SDES without its chunk"),
        ("81ca0001 00000001", "chunk without an end"),
        ("81ca0002 00000001 01026162", "chunk without room for its end"),
        ("81ca0002 00000001 01036162", "item longer than the packet"),
        ("81ca0002 00000001 01016102", "item without a length"),
        ("82cb0001 00000001", "BYE without its second source"),
        ("81cb0002 00000001 04616263", "reason longer than the packet"),
        ("81cd0001 00000001", "NACK without media source"),
        ("81cd0002 00000001 00000002", "NACK of nothing"),
        ("81ce0001 00000001", "PLI without media source"),
        ("84ce0002 00000001 00000000", "FIR of nothing"),
        ("84ce0003 00000001 00000000 00000002", "half a FIR entry"),
        ("8fce0003 00000001 00000000 52454d42", "REMB without bitrate"),
        ("8fce0004 00000001 00000000 52454d42 01000000", "REMB without its source"),
        ("8fce0005 00000001 00000000 52454d42 00000000 00000001", "REMB with a source too many"),
        ("81ce0002 00000001 00000002 80cf0002 00000001", "unknown packet cut off"),
    ],
)
def test_broken_bytes_are_refused_as_a_whole(datagram: str, why: str) -> None:
    with pytest.raises(WireError):
        parse_compound(bytes.fromhex(datagram))


rtcp_like = st.lists(
    st.builds(
        lambda first, kind, body: bytes((first, kind)) + (len(body) // 4).to_bytes(2, "big") + body,
        st.integers(0x80, 0xBF),
        st.integers(198, 208),
        st.binary(max_size=40),
    ),
    max_size=4,
).map(b"".join)


@given(st.binary(max_size=200) | rtcp_like)
def test_any_bytes_parse_or_raise_wire_error(datagram: bytes) -> None:
    with suppress(WireError):
        read = parse_compound(datagram)
        if read:
            assert meanings(parse_compound(compound(*read))) == meanings(read)


@given(st.lists(packets, min_size=1, max_size=3), st.data())
def test_a_flipped_or_cut_datagram_parses_or_raises_wire_error(built: list[RtcpPacket], data: st.DataObject) -> None:
    datagram = bytearray(compound(*built))
    datagram[data.draw(st.integers(0, len(datagram) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(WireError):
        parse_compound(bytes(datagram[: data.draw(st.integers(0, len(datagram)))]))


@pytest.mark.parametrize(
    "packet",
    [
        ReceiverReport(1, (ReportBlock(1, 0, 0, 0, 0, 0, 0),) * 32),
        SenderReport(1, 2, 3, 4, 5, (ReportBlock(1, 0, 0, 0, 0, 0, 0),) * 32),
        SourceDescription((SdesChunk(1),) * 32),
        SourceDescription((SdesChunk(1, ((0, b""),)),)),
        SourceDescription((SdesChunk(1, ((1, bytes(256)),)),)),
        Goodbye((1,) * 32),
        Goodbye((1,), bytes(256)),
        GenericNack(1, 2, ()),
        FullIntraRequest(1, ()),
        ReceiverEstimatedMaximumBitrate(1, 2**81, ()),
        ReceiverEstimatedMaximumBitrate(1, -1, ()),
        ReceiverEstimatedMaximumBitrate(1, 1, (1,) * 256),
    ],
)
def test_what_the_wire_cannot_say_is_the_callers_mistake(packet: RtcpPacket) -> None:
    with pytest.raises(ValueError, match=r".+"):
        packet.to_bytes()


# --- time -------------------------------------------------------------------------------------------------------


def test_ntp_time_counts_from_1900() -> None:
    assert ntp_from_unix(0) == 2_208_988_800 << 32
    assert ntp_from_unix(0.5) & 0xFFFF_FFFF == 1 << 31
    assert middle_32(0x0102030405060708) == 0x03040506


def test_the_round_trip_of_rfc_3550_is_computed_from_the_middle() -> None:
    # §6.4.1, figure 2: sent 10 Nov 1995 11:33:25.125 UTC, back at 11:33:36.5, DLSR = 5.25 s: 6.125 s of delay.
    sent = ntp_from_unix(816003205.125)
    assert sent == 0xB44DB705_20000000
    assert middle_32(sent) == 0xB7052000
    received_back = middle_32(ntp_from_unix(816003216.5))
    assert received_back == 0xB7108000
    assert received_back - middle_32(sent) - 0x00054000 == 0x00062000


@given(st.floats(0, 2_000_000_000))
def test_unix_time_survives_ntp(seconds: float) -> None:
    assert abs(unix_from_ntp(ntp_from_unix(seconds)) - seconds) < 1e-6
