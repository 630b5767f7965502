"""What the server offers to subscribers, and what it makes of the answers of aiortc and of others."""

import os
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from hushroom_common.errors import ProtocolError, WireError
from hushroom_common.header_extensions import ExtensionUri
from hushroom_common.ids import Codec, Kind
from hushroom_common.signaling import MAX_SDP_CHARS, CloseCode
from hushroom_sfu.conversation.sdp import (
    Direction,
    HeaderExtension,
    MediaSection,
    RtpCodec,
    Session,
    Setup,
    Ssrc,
    TransportDescription,
)
from hushroom_sfu.conversation.sdp_reader import read_sdp
from hushroom_sfu.conversation.sdp_writer import write_sdp
from hushroom_sfu.conversation.subscriber_negotiation import SubscriberAgreement, SubscriberNegotiation
from hushroom_sfu.conversation.transport import Fingerprint, LocalTransport
from hushroom_sfu.core.specs import DownTrackSpec, NegotiatedCodec

LOCAL = LocalTransport(
    "serv", "s" * 24, Fingerprint("sha-256", ":".join(["AB"] * 32)), (("192.0.2.9", 7000), ("2001:db8::9", 7000))
)
THEIRS = TransportDescription("bobo", "b" * 22, (Fingerprint("sha-256", ":".join(["CD"] * 32)),), Setup.ACTIVE)
ALL_VIDEO = (
    NegotiatedCodec(Codec.VP8, 96, 97),
    NegotiatedCodec(Codec.VP9, 98, 99),
    NegotiatedCodec(Codec.H264, 102, 103),
    NegotiatedCodec(Codec.AV1, 45, 46),
)


def negotiation(seats: int = 1) -> SubscriberNegotiation:
    leg = SubscriberNegotiation(LOCAL, entropy=Random(7).randbytes)
    for _ in range(seats):
        leg.add_seat()
    return leg


def answer_to(offer_sdp: str) -> Session:
    """The answer of a client that takes everything, as browsers do."""
    offer = read_sdp(offer_sdp)
    return replace(
        offer,
        media=tuple(map(_answer_section, offer.media)),
        is_ice_lite=False,
        transport=THEIRS,
    )


def _answer_section(section: MediaSection) -> MediaSection:
    direction = {Direction.SENDONLY: Direction.RECVONLY}.get(section.direction, section.direction)
    return replace(section, direction=direction, ssrcs=(), ssrc_groups=(), msids=(), candidates=())


def in_section(mid: str, change: Callable[[MediaSection], MediaSection]) -> Callable[[Session], Session]:
    """A change of one m-line."""
    return lambda session: replace(
        session, media=tuple(change(one) if one.mid == mid else one for one in session.media)
    )


def accepted(leg: SubscriberNegotiation, *changes: Callable[[Session], Session]) -> SubscriberAgreement:
    number, offer_sdp = leg.offer()
    answer = answer_to(offer_sdp)
    for change in changes:
        answer = change(answer)
    return leg.accept(number, write_sdp(answer))


def slot(agreement: SubscriberAgreement, mid: str) -> DownTrackSpec:
    return next(one for one in agreement.slots if one.mid == mid)


# --- the offer --------------------------------------------------------------------------------------------------


def test_a_seat_is_sound_and_picture_in_one_stream() -> None:
    leg = negotiation(0)
    assert [leg.add_seat(), leg.add_seat()] == [("0", "1"), ("2", "3")]
    number, offer_sdp = leg.offer()
    session = read_sdp(offer_sdp)
    assert number == 1
    assert session.is_ice_lite
    assert session.allows_mixed_extensions
    assert session.bundles == (("0", "1", "2", "3"),)
    assert session.transport == TransportDescription("serv", "s" * 24, (LOCAL.fingerprint,), Setup.ACTPASS)
    assert [section.kind for section in session.media] == ["audio", "video", "audio", "video"]
    for section in session.media:
        assert section.direction is Direction.SENDONLY
        assert section.rtcp_mux
        assert section.rtcp_reduced_size
        assert [(one.address, one.port) for one in section.candidates] == list(LOCAL.candidates)
        assert section.has_all_candidates
    streams = [section.msids[0].stream for section in session.media]
    assert streams[0] == streams[1] != streams[2] == streams[3]
    tracks = [section.msids[0].track for section in session.media]
    assert len(set(tracks)) == 4
    cnames = [{source.cname for source in section.ssrcs} for section in session.media]
    assert cnames[0] == cnames[1] != cnames[2] == cnames[3]


def test_an_m_line_offers_what_the_server_can_forward() -> None:
    _, offer_sdp = negotiation().offer()
    audio, video = read_sdp(offer_sdp).media
    feedback = ("nack", "nack pli", "ccm fir")
    h264 = (("level-asymmetry-allowed", "1"), ("packetization-mode", "1"), ("profile-level-id", "42e01f"))
    assert audio.codecs == (RtpCodec(111, "opus", 48_000, 2, parameters=(("minptime", "10"), ("useinbandfec", "1"))),)
    assert video.codecs[::2] == (
        RtpCodec(96, "VP8", 90_000, feedback=feedback),
        RtpCodec(98, "VP9", 90_000, parameters=(("profile-id", "0"),), feedback=feedback),
        RtpCodec(102, "H264", 90_000, parameters=h264, feedback=feedback),
        RtpCodec(
            45, "AV1", 90_000, parameters=(("level-idx", "5"), ("profile", "0"), ("tier", "0")), feedback=feedback
        ),
    )
    assert [(one.name, one.payload_type, one.apt) for one in video.codecs[1::2]] == [
        ("rtx", 97, 96),
        ("rtx", 99, 98),
        ("rtx", 103, 102),
        ("rtx", 46, 45),
    ]
    assert audio.extensions == (
        HeaderExtension(1, ExtensionUri.MID),
        HeaderExtension(4, ExtensionUri.ABSOLUTE_CAPTURE_TIME),
    )
    assert video.extensions == (
        HeaderExtension(1, ExtensionUri.MID),
        HeaderExtension(2, ExtensionUri.DEPENDENCY_DESCRIPTOR),
        HeaderExtension(3, ExtensionUri.VIDEO_ORIENTATION),
        HeaderExtension(4, ExtensionUri.ABSOLUTE_CAPTURE_TIME),
    )
    # aiortc takes the first SSRC for the source and the second for its retransmissions.
    assert [source.ssrc for source in video.ssrcs] == list(video.ssrc_groups[0].ssrcs)
    assert video.ssrc_groups[0].semantics == "FID"


def test_a_screen_has_a_stream_of_its_own() -> None:
    leg = negotiation()
    assert leg.add_screen() == ("2", None)
    assert leg.add_screen(with_audio=True) == ("3", "4")
    media = read_sdp(leg.offer()[1]).media
    assert [section.kind for section in media] == ["audio", "video", "video", "video", "audio"]
    assert media[3].msids[0].stream == media[4].msids[0].stream
    assert len({section.msids[0].stream for section in media}) == 3


def test_no_two_streams_have_one_ssrc_however_poor_the_dice() -> None:
    leg = SubscriberNegotiation(LOCAL, entropy=bytes)
    for _ in range(20):
        leg.add_seat()
    media = read_sdp(leg.offer()[1]).media
    ssrcs = [source.ssrc for section in media for source in section.ssrcs]
    assert len(ssrcs) == 60
    assert len(set(ssrcs)) == 60
    assert 0 not in ssrcs


def test_the_largest_room_fits_one_description() -> None:
    leg = negotiation(96)
    _, offer_sdp = leg.offer()
    assert len(offer_sdp) < MAX_SDP_CHARS
    assert len(read_sdp(offer_sdp).media) == 192


# --- the answer -------------------------------------------------------------------------------------------------


def test_a_client_that_takes_everything_gets_all_slots() -> None:
    leg = negotiation()
    assert not leg.awaits_answer
    number, offer_sdp = leg.offer()
    assert leg.awaits_answer
    agreement = leg.accept(number, write_sdp(answer_to(offer_sdp)))
    assert not leg.awaits_answer
    audio, video = read_sdp(offer_sdp).media
    cname = audio.ssrcs[0].cname
    assert audio.ssrcs == (Ssrc(audio.ssrcs[0].ssrc, cname),)
    assert agreement.slots == (
        DownTrackSpec(
            mid="0",
            kind=Kind.AUDIO,
            codecs=(NegotiatedCodec(Codec.OPUS, 111),),
            ssrc=audio.ssrcs[0].ssrc,
            rtx_ssrc=None,
            cname=cname,
            extensions=((ExtensionUri.MID, 1), (ExtensionUri.ABSOLUTE_CAPTURE_TIME, 4)),
        ),
        DownTrackSpec(
            mid="1",
            kind=Kind.VIDEO,
            codecs=ALL_VIDEO,
            ssrc=video.ssrc_groups[0].ssrcs[0],
            rtx_ssrc=video.ssrc_groups[0].ssrcs[1],
            cname=cname,
            extensions=(
                (ExtensionUri.MID, 1),
                (ExtensionUri.DEPENDENCY_DESCRIPTOR, 2),
                (ExtensionUri.VIDEO_ORIENTATION, 3),
                (ExtensionUri.ABSOLUTE_CAPTURE_TIME, 4),
            ),
        ),
    )
    assert (agreement.remote.ice_ufrag, agreement.remote.ice_password) == ("bobo", "b" * 22)
    assert agreement.remote.fingerprints == THEIRS.fingerprints


def only(*payload_types: int) -> Callable[[MediaSection], MediaSection]:
    return lambda section: replace(
        section,
        formats=tuple(map(str, payload_types)),
        codecs=tuple(one for one in section.codecs if one.payload_type in payload_types),
    )


def without_extensions(section: MediaSection) -> MediaSection:
    return replace(section, extensions=())


def test_only_what_the_answer_kept_is_sent_in_its_order_of_preference() -> None:
    agreement = accepted(negotiation(), in_section("1", only(102, 96, 97)), in_section("1", without_extensions))
    video = slot(agreement, "1")
    assert video.codecs == (NegotiatedCodec(Codec.H264, 102), NegotiatedCodec(Codec.VP8, 96, 97))
    assert video.rtx_ssrc is not None
    assert video.extensions == ()


def test_without_rtx_there_is_no_rtx_ssrc() -> None:
    assert slot(accepted(negotiation(), in_section("1", only(96))), "1").rtx_ssrc is None


def test_rtx_of_a_codec_that_was_left_out_is_ignored() -> None:
    assert slot(accepted(negotiation(), in_section("1", only(96, 99))), "1").codecs == (NegotiatedCodec(Codec.VP8, 96),)


def test_h264_in_single_packets_is_not_kept() -> None:
    def single(section: MediaSection) -> MediaSection:
        return replace(
            section, codecs=tuple(replace(one, parameters=()) if one.name == "H264" else one for one in section.codecs)
        )

    codecs = slot(accepted(negotiation(), in_section("1", single)), "1").codecs
    assert [one.codec for one in codecs] == [Codec.VP8, Codec.VP9, Codec.AV1]


def test_the_dependency_descriptor_needs_mixed_extensions() -> None:
    agreement = accepted(negotiation(), lambda session: replace(session, allows_mixed_extensions=False))
    assert ExtensionUri.DEPENDENCY_DESCRIPTOR not in dict(slot(agreement, "1").extensions)
    assert ExtensionUri.MID in dict(slot(agreement, "1").extensions)


@pytest.mark.parametrize(
    "refuse",
    [
        lambda section: replace(section, port=0),
        lambda section: replace(section, direction=Direction.INACTIVE),
        lambda section: replace(section, direction=Direction.SENDONLY),
    ],
)
def test_an_m_line_that_is_not_accepted_has_no_slot(refuse: Callable[[MediaSection], MediaSection]) -> None:
    def bundle(session: Session) -> Session:
        return replace(session, bundles=(tuple(one.mid or "" for one in session.media if not one.is_rejected),))

    agreement = accepted(negotiation(2), in_section("1", refuse), bundle)
    assert [one.mid for one in agreement.slots] == ["0", "2", "3"]


def test_an_answer_may_state_its_transport_once() -> None:
    def tagged_only(session: Session) -> Session:
        return replace(
            in_section("0", lambda one: replace(one, transport=THEIRS))(session), transport=TransportDescription()
        )

    assert accepted(negotiation(), tagged_only).remote.ice_ufrag == "bobo"


def with_codec(codec: RtpCodec) -> Callable[[MediaSection], MediaSection]:
    return lambda section: replace(section, formats=(str(codec.payload_type),), codecs=(codec,))


VP8 = RtpCodec(96, "VP8", 90_000)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (in_section("1", with_codec(replace(VP8, payload_type=120))), "payload type 120"),
        (in_section("1", with_codec(replace(VP8, name="VP9"))), "payload type 96"),
        (in_section("1", with_codec(replace(VP8, clock_rate=8000))), "payload type 96"),
        (in_section("1", with_codec(RtpCodec(97, "rtx", 90_000, parameters=(("apt", "98"),)))), "payload type 97"),
        (in_section("1", only(97)), "without a codec"),
        (in_section("1", lambda one: replace(one, codecs=())), "without a codec"),
        (in_section("1", lambda one: replace(one, extensions=(HeaderExtension(9, ExtensionUri.MID),))), "extmap id 9"),
        (in_section("1", lambda one: replace(one, extensions=(HeaderExtension(1, "urn:x"),))), "extmap id 1"),
        (in_section("1", lambda one: replace(one, kind="audio")), "m-lines of the offer"),
        (in_section("1", lambda one: replace(one, rtcp_mux=False)), "rtcp-mux"),
        (lambda one: replace(one, media=one.media[:1], bundles=(("0",),)), "m-lines of the offer"),
        (lambda one: replace(one, media=one.media[::-1]), "m-lines of the offer"),
        (lambda one: replace(one, bundles=(("0",),)), "BUNDLE"),
        (lambda one: replace(one, bundles=()), "BUNDLE"),
        (lambda one: replace(one, transport=replace(THEIRS, setup=Setup.PASSIVE)), "must be active"),
        (lambda one: replace(one, transport=replace(THEIRS, setup=Setup.ACTPASS)), "must be active"),
        (lambda one: replace(one, transport=replace(THEIRS, fingerprints=())), "a=fingerprint"),
        (lambda one: replace(one, transport=replace(THEIRS, ice_password=None)), "a=ice-pwd"),
        (lambda one: replace(one, media=tuple(replace(section, port=0) for section in one.media)), "in use"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_and_may_be_given_again(
    change: Callable[[Session], Session], hint: str
) -> None:
    leg = negotiation()
    number, offer_sdp = leg.offer()
    answer = answer_to(offer_sdp)
    with pytest.raises(ProtocolError, match=hint) as refused:
        leg.accept(number, write_sdp(change(answer)))
    assert refused.value.code == CloseCode.PROTOCOL_ERROR
    assert len(leg.accept(number, write_sdp(answer)).slots) == 2


def test_a_text_that_is_no_sdp_is_a_wire_error() -> None:
    leg = negotiation()
    number, _ = leg.offer()
    with pytest.raises(WireError):
        leg.accept(number, "hello")


def test_only_the_last_offer_can_be_answered_and_only_once() -> None:
    leg = negotiation()
    first, offer_sdp = leg.offer()
    answer = write_sdp(answer_to(offer_sdp))
    second, _ = leg.offer()
    for wrong in (0, first, second + 1):
        with pytest.raises(ProtocolError, match="no offer that is open"):
            leg.accept(wrong, answer)
    leg.accept(second, answer)
    with pytest.raises(ProtocolError, match="no offer that is open"):
        leg.accept(second, answer)


# --- later offers -----------------------------------------------------------------------------------------------


def test_an_m_line_keeps_its_numbers_while_others_come_and_it_falls_silent() -> None:
    leg = negotiation()
    before = accepted(leg)
    leg.set_inactive("1")
    leg.add_seat()
    silent = accepted(leg)
    assert [one.mid for one in silent.slots] == ["0", "2", "3"]
    leg.set_active("1")
    after = accepted(leg)
    assert after.slots[:2] == before.slots
    assert [one.mid for one in after.slots] == ["0", "1", "2", "3"]


def test_a_connected_client_is_told_the_candidates_once() -> None:
    leg = negotiation()
    accepted(leg)
    leg.add_seat()
    sections = read_sdp(leg.offer()[1]).media
    assert [bool(section.candidates) for section in sections] == [True, False, False, False]


def test_the_certificate_of_a_connected_leg_cannot_change() -> None:
    leg = negotiation()
    accepted(leg)
    other = replace(THEIRS, fingerprints=(LOCAL.fingerprint,))
    with pytest.raises(ProtocolError, match="start a new one"):
        accepted(leg, lambda session: replace(session, transport=other))


# --- aiortc -----------------------------------------------------------------------------------------------------


class Subscriber:
    """A stock aiortc connection and the server's side of its negotiation."""

    def __init__(self, policy: RTCBundlePolicy = RTCBundlePolicy.MAX_BUNDLE) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=policy))
        self.negotiation = SubscriberNegotiation(LOCAL, entropy=os.urandom)

    async def answers(self) -> SubscriberAgreement:
        number, offer_sdp = self.negotiation.offer()
        await self.connection.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return self.negotiation.accept(number, self.connection.localDescription.sdp)


async def test_aiortc_takes_a_seat() -> None:
    bo = Subscriber()
    try:
        bo.negotiation.add_seat()
        agreement = await bo.answers()
        sound, picture = agreement.slots
        assert sound.codecs == (NegotiatedCodec(Codec.OPUS, 111),)
        assert picture.codecs == (NegotiatedCodec(Codec.VP8, 96, 97), NegotiatedCodec(Codec.H264, 102, 103))
        assert picture.extensions == ((ExtensionUri.MID, 1),)
        receivers = [transceiver.receiver for transceiver in bo.connection.getTransceivers()]
        assert [receiver.track.kind for receiver in receivers] == ["audio", "video"]
        ice = receivers[0].transport.transport
        assert {(one.ip, one.port) for one in ice.getRemoteCandidates()} == set(LOCAL.candidates)
    finally:
        await bo.connection.close()


@pytest.mark.parametrize("policy", RTCBundlePolicy)
async def test_aiortc_finds_the_candidates_whatever_its_bundle_policy(policy: RTCBundlePolicy) -> None:
    bo = Subscriber(policy)
    try:
        for _ in range(3):
            bo.negotiation.add_seat()
        await bo.answers()
        ice = bo.connection.getTransceivers()[0].receiver.transport.transport
        assert {(one.ip, one.port) for one in ice.getRemoteCandidates()} == set(LOCAL.candidates)
    finally:
        await bo.connection.close()


async def test_aiortc_follows_from_one_seat_to_six_with_silences() -> None:
    bo = Subscriber()
    try:
        for seats in range(1, 7):
            bo.negotiation.add_seat()
            assert len((await bo.answers()).slots) == 2 * seats
        for mid in ("1", "4", "11"):
            bo.negotiation.set_inactive(mid)
        mids = {one.mid for one in (await bo.answers()).slots}
        assert mids == {str(mid) for mid in range(12)} - {"1", "4", "11"}
        bo.negotiation.set_active("4")
        assert "4" in {one.mid for one in (await bo.answers()).slots}
    finally:
        await bo.connection.close()
