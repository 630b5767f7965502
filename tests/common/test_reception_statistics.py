import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.reception import ReceptionStatistics
from hushroom_common.rtcp import ReceiverReport, parse_compound
from tests.support.pcap import RTP_VECTORS, udp_payloads

SSRC = 0x0A0B0C0D
FRAME_TICKS = 3000  # 30 frames a second at 90 kHz


def received(*numbers: int, statistics: ReceptionStatistics | None = None) -> ReceptionStatistics:
    """A stream that is exactly on time: number n is n frames old."""
    statistics = statistics or ReceptionStatistics(90_000)
    for number in numbers:
        statistics.receive(number & 0xFFFF, number * FRAME_TICKS & 0xFFFF_FFFF, number / 30)
    return statistics


def test_before_the_first_packet_there_is_nothing_to_report() -> None:
    statistics = ReceptionStatistics(90_000)
    block = statistics.report_block(SSRC, 1.0)
    assert statistics.packets_received == 0
    assert (block.packets_lost, block.fraction_lost, block.highest_sequence, block.dlsr) == (0, 0, 0, 0)


def test_a_whole_stream_on_time_has_no_loss_and_no_jitter() -> None:
    statistics = received(*range(100, 200))
    block = statistics.report_block(SSRC, 10.0)
    assert (block.ssrc, block.packets_lost, block.fraction_lost, block.jitter) == (SSRC, 0, 0, 0)
    assert block.highest_sequence == 199
    assert statistics.packets_received == 100


def test_the_fraction_lost_counts_from_the_report_before() -> None:
    statistics = received(0, 1, 2, 7)
    first = statistics.report_block(SSRC, 1.0)
    assert (first.packets_lost, first.fraction_lost) == (4, 128)  # 4 of 8 in 1/256
    received(8, 9, 10, statistics=statistics)
    second = statistics.report_block(SSRC, 2.0)
    assert (second.packets_lost, second.fraction_lost) == (4, 0)
    received(12, statistics=statistics)
    third = statistics.report_block(SSRC, 3.0)
    assert (third.packets_lost, third.fraction_lost) == (5, 128)


def test_repaired_packets_lower_the_loss_without_a_negative_fraction() -> None:
    statistics = received(0, 3)
    assert statistics.report_block(SSRC, 1.0).packets_lost == 2
    received(1, 2, 4, statistics=statistics)
    block = statistics.report_block(SSRC, 2.0)
    assert (block.packets_lost, block.fraction_lost) == (0, 0)


def test_cycles_are_counted_from_the_first_packet() -> None:
    block = received(65534, 65535, 65536, 65538).report_block(SSRC, 1.0)
    assert block.highest_sequence == 0x0001_0002
    assert block.packets_lost == 1


def test_jitter_follows_the_formula_of_rfc_3550() -> None:
    statistics = ReceptionStatistics(90_000)
    statistics.receive(1, 0, 0.0)
    statistics.receive(2, 3000, 1 / 30 + 0.016)  # 16 ms late: 1440 ticks
    assert statistics.report_block(SSRC, 1.0).jitter == 1440 // 16
    statistics.receive(3, 6000, 2 / 30 + 0.016)  # evenly spaced: J -= J/16
    assert statistics.report_block(SSRC, 1.0).jitter == int(90 - 90 / 16)
    assert statistics.jitter_s == pytest.approx((90 - 90 / 16) / 90_000)


def test_jitter_is_measured_across_the_wrap_of_rtp_time() -> None:
    statistics = ReceptionStatistics(90_000)
    statistics.receive(1, 0xFFFF_FFFF - 1499, 0.0)
    statistics.receive(2, 1500, 1 / 30)
    assert statistics.report_block(SSRC, 1.0).jitter == 0


def test_a_retransmission_is_no_jitter() -> None:
    statistics = received(0, 2)
    statistics.receive(1, FRAME_TICKS, 5.0)
    received(3, statistics=statistics)
    assert statistics.report_block(SSRC, 6.0).jitter == 0


def test_a_report_answers_the_senders_last() -> None:
    statistics = received(1)
    statistics.sender_report_received(0xB44DB705_20000000, now=100.0)
    block = statistics.report_block(SSRC, now=105.25)
    # RFC 3550 §6.4.1, figure 2: LSR 0xb705:2000, DLSR 0x0005:4000 = 5.25 s.
    assert (block.lsr, block.dlsr) == (0xB7052000, 0x00054000)


def test_a_jump_starts_the_counts_anew() -> None:
    statistics = received(*range(10))
    received(20_000, 20_001, 20_003, statistics=statistics)
    block = statistics.report_block(SSRC, 700.0)
    assert (block.packets_lost, block.fraction_lost) == (1, 64)
    assert block.highest_sequence == 20_003


def test_a_browsers_video_has_no_loss() -> None:
    statistics = ReceptionStatistics(90_000)
    for at, datagram in udp_payloads(RTP_VECTORS / "chromium-vp8.pcap"):
        if datagram[8:12] == bytes.fromhex("e335b883"):
            statistics.receive(int.from_bytes(datagram[2:4], "big"), int.from_bytes(datagram[4:8], "big"), at)
    block = statistics.report_block(SSRC, 10.0)
    assert statistics.packets_received == 53
    assert block.packets_lost == 0
    assert 0 < statistics.jitter_s < 0.1


@given(
    st.lists(
        st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF), st.floats(0, 1e6), st.booleans()), max_size=50
    )
)
def test_any_packets_make_a_report_that_fits_the_wire(packets: list[tuple[int, int, float, bool]]) -> None:
    statistics = ReceptionStatistics(48_000)
    now = 0.0
    for number, timestamp, pause, is_reported in packets:
        now += pause
        statistics.receive(number, timestamp, now)
        if is_reported:
            statistics.sender_report_received(timestamp << 16, now)
            report = ReceiverReport(1, (statistics.report_block(SSRC, now + pause),))
            assert parse_compound(report.to_bytes()) == (report,)
