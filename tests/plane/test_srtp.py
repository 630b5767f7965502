"""Protecting and unprotecting packets: what libsrtp promises and what we count."""

import os

import pylibsrtp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_sfu.plane.drops import Drop, Drops
from hushroom_sfu.plane.libsrtp import MAX_PACKET_BYTES
from hushroom_sfu.plane.srtp import MAX_SSRCS, SrtpTransforms, is_rtcp
from tests.plane.peers import receiver_report, rtp_packet

GCM = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM

GCM_TAG_BYTES = 16


def session(key: bytes, direction: int) -> pylibsrtp.Session:
    policy = pylibsrtp.Policy(key=key, ssrc_type=direction, srtp_profile=GCM)
    policy.allow_repeat_tx = True  # as aiortc sets it
    policy.window_size = 1024
    return pylibsrtp.Session(policy)


class Pair:
    """The two ends of a leg."""

    def __init__(self) -> None:
        up, down = os.urandom(28), os.urandom(28)
        inbound, outbound = pylibsrtp.Policy.SSRC_ANY_INBOUND, pylibsrtp.Policy.SSRC_ANY_OUTBOUND
        self.drops = Drops()
        self.server = SrtpTransforms(session(up, inbound), session(down, outbound), self.drops)
        self.client = SrtpTransforms(session(down, inbound), session(up, outbound), Drops())

    def sent_up(self, packet: bytes) -> bytes:
        protected = self.client.protect_rtp(packet)
        assert protected is not None
        return protected


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_packets_pass_both_ways(pair: Pair) -> None:
    packet, report = rtp_packet(1), receiver_report()
    assert pair.server.unprotect_rtp(pair.sent_up(packet)) == packet
    protected, protected_report = pair.server.protect_rtp(packet), pair.server.protect_rtcp(report)
    assert protected is not None
    assert protected_report is not None
    assert pair.client.unprotect_rtp(protected) == packet
    assert pair.client.unprotect_rtcp(protected_report) == report
    assert not pair.drops


def test_the_same_packet_protects_to_the_same_bytes_also_across_the_wrap(pair: Pair) -> None:
    """A retransmission without RTX must be bit-identical: the nonce is its SSRC and index."""
    numbers = range(65536 - 400, 65536 + 400)
    first = [pair.server.protect_rtp(rtp_packet(number)) for number in numbers]
    again = [pair.server.protect_rtp(rtp_packet(number)) for number in numbers]
    assert None not in first
    assert first == again
    assert len(set(first)) == len(first)


def test_a_packet_is_protected_again_up_to_1023_behind_the_newest(pair: Pair) -> None:
    first = [pair.server.protect_rtp(rtp_packet(number)) for number in range(1025)]
    assert pair.server.protect_rtp(rtp_packet(1)) == first[1]
    assert pair.server.protect_rtp(rtp_packet(0)) is None
    assert pair.drops == {Drop.PROTECT_REFUSED: 1}


def test_a_damaged_packet_is_counted_and_leaves_the_genuine_one_acceptable(pair: Pair) -> None:
    genuine = pair.sent_up(rtp_packet(1))
    assert pair.server.unprotect_rtp(genuine[:-1] + bytes([genuine[-1] ^ 1])) is None
    assert pair.drops == {Drop.SRTP_UNAUTHENTIC: 1}
    assert pair.server.unprotect_rtp(genuine) == rtp_packet(1)


def test_a_replayed_packet_is_counted(pair: Pair) -> None:
    genuine = pair.sent_up(rtp_packet(1))
    report = pair.client.protect_rtcp(receiver_report())
    assert report is not None
    assert pair.server.unprotect_rtp(genuine) is not None
    assert pair.server.unprotect_rtcp(report) is not None
    assert pair.server.unprotect_rtp(genuine) is None
    assert pair.server.unprotect_rtcp(report) is None
    assert pair.drops == {Drop.SRTP_REPLAYED: 2}


def test_whatever_came_in_can_go_out(pair: Pair) -> None:
    longest = rtp_packet(1, payload=bytes(MAX_PACKET_BYTES - 12 - GCM_TAG_BYTES))
    plain = pair.server.unprotect_rtp(pair.sent_up(longest))
    assert plain == longest
    assert pair.server.protect_rtp(plain) is not None


def test_a_packet_older_than_the_window_is_counted(pair: Pair) -> None:
    late = pair.sent_up(rtp_packet(1))
    for number in range(2, 1100):
        assert pair.server.unprotect_rtp(pair.sent_up(rtp_packet(number))) is not None
    assert pair.server.unprotect_rtp(late) is None
    assert pair.drops == {Drop.SRTP_REPLAYED: 1}


def test_the_longest_packet_passes_and_one_byte_more_is_counted(pair: Pair) -> None:
    longest = rtp_packet(1, payload=bytes(MAX_PACKET_BYTES - 12))
    assert pair.server.protect_rtp(longest) is not None
    assert pair.server.protect_rtp(longest + b"x") is None
    assert pair.server.protect_rtcp(receiver_report() + bytes(1500)) is None
    assert pair.drops == {Drop.PROTECT_TOO_LONG: 2}
    assert pair.server.unprotect_rtp(rtp_packet(2, payload=bytes(1600))) is None
    assert pair.drops[Drop.SRTP_TOO_LONG] == 1


def test_a_peer_gets_a_bounded_number_of_ssrcs_and_keeps_those_it_has(pair: Pair) -> None:
    for ssrc in range(MAX_SSRCS):
        assert pair.server.unprotect_rtp(pair.sent_up(rtp_packet(1, ssrc=ssrc))) is not None
    assert pair.server.unprotect_rtp(pair.sent_up(rtp_packet(1, ssrc=MAX_SSRCS))) is None
    assert pair.drops == {Drop.SRTP_TOO_MANY_SSRCS: 1}
    assert pair.server.unprotect_rtp(pair.sent_up(rtp_packet(2, ssrc=0))) is not None


def test_forged_ssrcs_do_not_use_up_the_peers(pair: Pair) -> None:
    for ssrc in range(2 * MAX_SSRCS):
        assert pair.server.unprotect_rtp(rtp_packet(1, ssrc=ssrc, payload=bytes(40))) is None
    assert pair.drops == {Drop.SRTP_UNAUTHENTIC: 2 * MAX_SSRCS}
    assert pair.server.unprotect_rtp(pair.sent_up(rtp_packet(1))) is not None


@given(st.binary(max_size=1600))
def test_any_bytes_are_dropped_and_counted(datagram: bytes) -> None:
    pair = Pair()
    assert pair.server.unprotect_rtp(datagram) is None
    assert pair.server.unprotect_rtcp(datagram) is None
    assert pair.drops.total() == 2


def test_rtcp_is_told_by_its_packet_type() -> None:
    assert is_rtcp(receiver_report())
    assert not is_rtcp(rtp_packet(1, payload_type=111))
    assert not is_rtcp(rtp_packet(1, payload_type=127 | 128))  # marker set, payload type 127
    assert not is_rtcp(b"\x80")
