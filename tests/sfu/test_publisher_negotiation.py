"""What the server answers to publishers: aiortc, the browsers as recorded, and offers that cannot work."""

from pathlib import Path

import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from hushroom_common.errors import ProtocolError, WireError
from hushroom_common.header_extensions import ExtensionUri
from hushroom_common.ids import Codec, Kind, PublicationId, Source
from hushroom_common.signaling import CloseCode, OfferedTrack
from hushroom_sfu.conversation.publisher_negotiation import PublisherAgreement, PublisherNegotiation
from hushroom_sfu.conversation.sdp import Direction, HeaderExtension, MediaSection, Rid, Session, Setup, Simulcast
from hushroom_sfu.conversation.sdp_reader import read_sdp
from hushroom_sfu.conversation.transport import Fingerprint, LocalTransport
from hushroom_sfu.core.specs import NegotiatedCodec, UpTrackSpec
from tests.support.pcap import udp_payloads

VECTORS = Path(__file__).parents[1] / "vectors" / "rtp"
FINGERPRINT = Fingerprint("sha-256", ":".join(["AB"] * 32))
LOCAL = LocalTransport("serv", "s" * 24, FINGERPRINT, (("192.0.2.9", 7000), ("2001:db8::9", 7000)))
MIC = OfferedTrack("0", PublicationId("mic"), Source.MICROPHONE, Codec.OPUS, "lk1")
RECORDED_CODECS = {"vp8": Codec.VP8, "vp9": Codec.VP9, "h264": Codec.H264, "av1": Codec.AV1}
RECORDED = sorted(path.name.removesuffix(".offer.sdp") for path in VECTORS.glob("*.offer.sdp"))


def camera(codec: Codec = Codec.VP8, mid: str = "1", publication: str = "cam") -> OfferedTrack:
    return OfferedTrack(mid, PublicationId(publication), Source.CAMERA, codec, "lk1")


def recorded(name: str) -> tuple[str, tuple[OfferedTrack, ...]]:
    codec = RECORDED_CODECS[name.split("-")[1]]
    return (VECTORS / f"{name}.offer.sdp").read_bytes().decode(), (MIC, camera(codec))


def answered(agreement: PublisherAgreement) -> tuple[Session, tuple[MediaSection, ...]]:
    session = read_sdp(agreement.answer_sdp)
    return session, session.media


def spec_of(agreement: PublisherAgreement, mid: str) -> UpTrackSpec:
    return next(spec for _, spec in agreement.tracks if spec.mid == mid)


# --- browsers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_a_browsers_offer_is_answered(name: str) -> None:
    offer_sdp, tracks = recorded(name)
    offer = read_sdp(offer_sdp)
    agreement = PublisherNegotiation(LOCAL).answer(offer_sdp, tracks)
    session, (audio, video) = answered(agreement)

    assert session.is_ice_lite
    assert session.bundles == (("0", "1"),)
    assert session.allows_mixed_extensions is offer.allows_mixed_extensions
    for section, asked in zip((audio, video), offer.media, strict=True):
        assert (section.mid, section.kind, section.direction) == (asked.mid, asked.kind, Direction.RECVONLY)
        assert section.rtcp_mux
        assert section.allows_mixed_extensions is asked.allows_mixed_extensions
        assert [(one.address, one.port) for one in section.candidates] == list(LOCAL.candidates)
        assert section.has_all_candidates
        transport = session.transport_of(section)
        assert (transport.ice_ufrag, transport.ice_password) == ("serv", "s" * 24)
        assert transport.fingerprints == (FINGERPRINT,)
        assert transport.setup is Setup.PASSIVE
        # RFC 3264 §6.1: an answer takes from the offer and adds nothing.
        assert set(section.formats) <= set(asked.formats)
        assert {(one.id, one.uri) for one in section.extensions} <= {(one.id, one.uri) for one in asked.extensions}

    codec, rtx = video.codecs
    asked_codec, asked_rtx = offer.media[1].codecs[0], offer.media[1].codecs[1]
    if name != "chromium-h264":
        assert (codec.payload_type, rtx.payload_type) == (asked_codec.payload_type, asked_rtx.payload_type)
    assert codec.is_named(tracks[1].codec)
    assert rtx.apt == codec.payload_type
    assert set(codec.feedback) == {"nack", "nack pli", "ccm fir"}
    assert [one.name for one in audio.codecs] == ["opus"]

    assert [track for track, _ in agreement.tracks] == list(tracks)
    spec = spec_of(agreement, "1")
    assert (spec.wants_nack, spec.wants_pli) == (True, True)
    assert spec.codecs == (NegotiatedCodec(tracks[1].codec, codec.payload_type, rtx.payload_type),)
    assert (agreement.remote.ice_ufrag, agreement.remote.fingerprints) == (
        offer.transport_of(offer.media[0]).ice_ufrag,
        offer.transport_of(offer.media[0]).fingerprints,
    )


@pytest.mark.parametrize("name", [name for name in RECORDED if "simulcast" not in name and name != "chromium-h264"])
def test_the_packets_that_followed_are_what_was_agreed(name: str) -> None:
    agreement = PublisherNegotiation(LOCAL).answer(*recorded(name))
    agreed = {
        (ssrc, payload_type)
        for _, spec in agreement.tracks
        for ssrc, payload_type in (
            (spec.ssrc, spec.codecs[0].payload_type),
            (spec.rtx_ssrc, spec.codecs[0].rtx_payload_type),
        )
    }
    sent = {(int.from_bytes(packet[8:12]), packet[1] & 0x7F) for _, packet in udp_payloads(VECTORS / f"{name}.pcap")}
    assert len(sent) >= 2
    assert sent <= agreed


def test_of_chromiums_h264_the_constrained_baseline_is_taken() -> None:
    agreement = PublisherNegotiation(LOCAL).answer(*recorded("chromium-h264"))
    _, (_, video) = answered(agreement)
    assert (video.codecs[0].payload_type, video.codecs[1].payload_type) == (108, 109)
    assert video.codecs[0].parameters == (
        ("level-asymmetry-allowed", "1"),
        ("packetization-mode", "1"),
        ("profile-level-id", "42e01f"),
    )


def test_of_simulcast_the_preferred_layer_is_taken() -> None:
    agreement = PublisherNegotiation(LOCAL).answer(*recorded("chromium-vp8-simulcast"))
    _, (_, video) = answered(agreement)
    assert video.rids == (Rid("q", "recv"),)
    assert video.simulcast == Simulcast(recv=(("q",),))
    spec = spec_of(agreement, "1")
    assert spec.ssrc is None
    assert dict(spec.extensions)[ExtensionUri.RID] == 10


def test_only_extensions_of_use_are_accepted_and_never_the_audio_level() -> None:
    agreement = PublisherNegotiation(LOCAL).answer(*recorded("chromium-av1-l3t3key"))
    _, (audio, video) = answered(agreement)
    assert audio.extensions == (HeaderExtension(4, ExtensionUri.MID),)
    assert set(spec_of(agreement, "1").extensions) == {
        (ExtensionUri.MID, 4),
        (ExtensionUri.RID, 10),
        (ExtensionUri.REPAIRED_RID, 11),
        (ExtensionUri.DEPENDENCY_DESCRIPTOR, 12),
        (ExtensionUri.VIDEO_ORIENTATION, 13),
    }
    assert {one.uri for one in video.extensions} == {uri for uri, _ in spec_of(agreement, "1").extensions}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("chromium-vp8", {"minptime": "10", "useinbandfec": "1", "cbr": "1", "usedtx": "0"}),
        ("firefox-vp8", {"useinbandfec": "1", "stereo": "1", "cbr": "1", "usedtx": "0"}),
    ],
)
def test_opus_is_asked_for_frames_whose_sizes_say_nothing(name: str, parameters: dict[str, str]) -> None:
    _, (audio, _) = answered(PublisherNegotiation(LOCAL).answer(*recorded(name)))
    assert dict(audio.codecs[0].parameters) == parameters


# --- aiortc -----------------------------------------------------------------------------------------------------


class Publisher:
    """A stock aiortc connection and the server's side of its negotiation."""

    def __init__(self, policy: RTCBundlePolicy = RTCBundlePolicy.MAX_BUNDLE) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=policy))
        self.negotiation = PublisherNegotiation(LOCAL)

    async def publishes(self, *tracks: OfferedTrack) -> PublisherAgreement:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        agreement = self.negotiation.answer(self.connection.localDescription.sdp, tracks)
        await self.connection.setRemoteDescription(RTCSessionDescription(agreement.answer_sdp, "answer"))
        assert self.connection.signalingState == "stable"
        return agreement

    def adds(self, kind: str, codec: str | None = None) -> None:
        transceiver = self.connection.addTransceiver(kind, direction="sendonly")
        if codec is not None:
            capabilities = RTCRtpSender.getCapabilities(kind).codecs
            transceiver.setCodecPreferences([one for one in capabilities if one.mimeType == f"{kind}/{codec}"])


@pytest.mark.parametrize("policy", RTCBundlePolicy)
async def test_aiortc_publishes_sound_and_picture(policy: RTCBundlePolicy) -> None:
    ada = Publisher(policy)
    try:
        ada.adds("audio")
        ada.adds("video")
        agreement = await ada.publishes(MIC, camera())
        sender = ada.connection.getTransceivers()[1].sender
        assert [one.currentDirection for one in ada.connection.getTransceivers()] == ["sendonly", "sendonly"]
        assert spec_of(agreement, "0") == UpTrackSpec(
            mid="0",
            kind=Kind.AUDIO,
            codecs=(NegotiatedCodec(Codec.OPUS, 96),),
            ssrc=ada.connection.getTransceivers()[0].sender._ssrc,
            rtx_ssrc=None,
            extensions=((ExtensionUri.MID, 1),),
        )
        assert spec_of(agreement, "1") == UpTrackSpec(
            mid="1",
            kind=Kind.VIDEO,
            codecs=(NegotiatedCodec(Codec.VP8, 97, 98),),
            ssrc=sender._ssrc,
            rtx_ssrc=sender._rtx_ssrc,
            extensions=((ExtensionUri.MID, 1),),
            wants_nack=True,
            wants_pli=True,
        )
        ice = sender.transport.transport
        assert {(one.ip, one.port) for one in ice.getRemoteCandidates()} == set(LOCAL.candidates)
    finally:
        await ada.connection.close()


async def test_aiortc_publishes_h264_without_rtx() -> None:
    ada = Publisher()
    try:
        ada.adds("video", "H264")
        agreement = await ada.publishes(camera(Codec.H264, mid="0"))
        assert spec_of(agreement, "0").codecs == (NegotiatedCodec(Codec.H264, 101, None),)
        assert spec_of(agreement, "0").rtx_ssrc is None
    finally:
        await ada.connection.close()


async def test_aiortc_grows_from_one_m_line_to_twelve_and_some_fall_silent() -> None:
    ada = Publisher()
    tracks: list[OfferedTrack] = []
    try:
        for mid in range(12):
            kind = ("audio", "video")[mid % 2]
            ada.adds(kind)
            source, codec = ((Source.SCREEN_AUDIO, Codec.OPUS), (Source.SCREEN, Codec.VP8))[mid % 2]
            tracks.append(OfferedTrack(str(mid), PublicationId(f"p{mid}"), source, codec, "lk1"))
            agreement = await ada.publishes(*tracks)
            assert [spec.mid for _, spec in agreement.tracks] == [str(one) for one in range(mid + 1)]
        for transceiver in ada.connection.getTransceivers()[3:6]:
            transceiver.direction = "inactive"
        agreement = await ada.publishes(*tracks[:3], *tracks[6:])
        _, sections = answered(agreement)
        silent = [section.mid for section in sections if section.direction is Direction.INACTIVE]
        assert silent == ["3", "4", "5"]
        assert len(agreement.tracks) == 9
    finally:
        await ada.connection.close()


# --- offers by hand ---------------------------------------------------------------------------------------------

SESSION = (
    "a=ice-ufrag:adau",
    "a=ice-pwd:" + "p" * 22,
    f"a=fingerprint:sha-256 {':'.join(['CD'] * 32)}",
    "a=setup:actpass",
)
AUDIO = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 111",
    "a=mid:0",
    "a=sendonly",
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=ssrc:1 cname:x",
)
VIDEO = (
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97",
    "a=mid:1",
    "a=sendonly",
    "a=rtcp-mux",
    "a=rtpmap:96 VP8/90000",
    "a=rtpmap:97 rtx/90000",
    "a=fmtp:97 apt=96",
    "a=ssrc:2 cname:x",
)


def offer(*media: tuple[str, ...], session: tuple[str, ...] = SESSION, bundle: str = "0 1") -> str:
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", f"a=group:BUNDLE {bundle}", *session]
    return "\r\n".join([*lines, *(line for section in media for line in section), ""])


def changed(lines: tuple[str, ...], old: str, *new: str) -> tuple[str, ...]:
    assert old in lines
    return tuple(one for line in lines for one in (new if line == old else (line,)))


def test_an_offer_by_hand_works() -> None:
    agreement = PublisherNegotiation(LOCAL).answer(offer(AUDIO, VIDEO), [MIC, camera()])
    assert [spec.ssrc for _, spec in agreement.tracks] == [1, 2]


def test_an_m_line_without_a_track_is_answered_inactive_with_what_it_offers() -> None:
    agreement = PublisherNegotiation(LOCAL).answer(offer(AUDIO, VIDEO), [MIC])
    _, (_, video) = answered(agreement)
    assert video.direction is Direction.INACTIVE
    assert video.formats == ("96", "97")
    assert not video.is_rejected
    assert [track for track, _ in agreement.tracks] == [MIC]


def test_a_rejected_m_line_stays_rejected_and_out_of_the_bundle() -> None:
    dead = ("m=video 0 UDP/TLS/RTP/SAVPF 96", "a=mid:2", "a=inactive", "a=rtpmap:96 VP8/90000")
    session, sections = answered(PublisherNegotiation(LOCAL).answer(offer(AUDIO, VIDEO, dead), [MIC, camera()]))
    assert sections[2].is_rejected
    assert sections[2].formats == ("96",)
    assert session.bundles == (("0", "1"),)


@pytest.mark.parametrize(
    "useless",
    [
        ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:2", "a=sctp-port:5000"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:2", "a=sendonly", "a=rtcp-mux", "a=rtpmap:0 PCMU/8000"),
    ],
)
def test_an_m_line_that_cannot_be_of_use_is_rejected(useless: tuple[str, ...]) -> None:
    text = offer(AUDIO, VIDEO, useless, bundle="0 1 2")
    session, sections = answered(PublisherNegotiation(LOCAL).answer(text, [MIC, camera()]))
    assert [section.is_rejected for section in sections] == [False, False, True]
    assert session.bundles == (("0", "1"),)


def test_an_m_line_that_waits_for_the_bundle_is_taken_into_it() -> None:
    waiting = ("m=video 0 UDP/TLS/RTP/SAVPF 96 97", "a=bundle-only", *VIDEO[1:])
    session, (_, video) = answered(PublisherNegotiation(LOCAL).answer(offer(AUDIO, waiting), [MIC, camera()]))
    assert video.port == 7000
    assert session.bundles == (("0", "1"),)


def test_the_tagged_m_line_speaks_for_the_bundle() -> None:
    stated = (*AUDIO, *SESSION)
    agreement = PublisherNegotiation(LOCAL).answer(offer(stated, VIDEO, session=()), [MIC, camera()])
    assert agreement.remote.ice_ufrag == "adau"


def test_an_m_line_without_ssrc_is_found_by_its_mid() -> None:
    unnamed = changed(VIDEO, "a=ssrc:2 cname:x", f"a=extmap:4 {ExtensionUri.MID}")
    agreement = PublisherNegotiation(LOCAL).answer(offer(AUDIO, unnamed), [MIC, camera()])
    assert spec_of(agreement, "1").ssrc is None
    assert spec_of(agreement, "1").extensions == ((ExtensionUri.MID, 4),)


@pytest.mark.parametrize(("apt", "rtx_ssrc"), [("96", 3), ("98", None)])
def test_retransmissions_have_an_ssrc_where_they_have_a_payload_type(apt: str, rtx_ssrc: int | None) -> None:
    lines = (*changed(VIDEO, "a=fmtp:97 apt=96", f"a=fmtp:97 apt={apt}"), "a=ssrc:3 cname:x", "a=ssrc-group:FID 2 3")
    spec = spec_of(PublisherNegotiation(LOCAL).answer(offer(AUDIO, lines), [MIC, camera()]), "1")
    assert (spec.ssrc, spec.rtx_ssrc) == (2, rtx_ssrc)
    assert (spec.codecs[0].rtx_payload_type is None) is (rtx_ssrc is None)


def test_a_sender_that_only_receives_an_extension_is_not_asked_to_send_it() -> None:
    lines = changed(
        VIDEO,
        "a=ssrc:2 cname:x",
        "a=ssrc:2 cname:x",
        f"a=extmap:4/recvonly {ExtensionUri.VIDEO_ORIENTATION}",
        f"a=extmap:5/sendonly {ExtensionUri.ABSOLUTE_CAPTURE_TIME}",
    )
    _, (_, video) = answered(PublisherNegotiation(LOCAL).answer(offer(AUDIO, lines), [MIC, camera()]))
    assert video.extensions == (HeaderExtension(5, ExtensionUri.ABSOLUTE_CAPTURE_TIME, Direction.RECVONLY),)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (offer(AUDIO, VIDEO, bundle="0"), "one BUNDLE group"),
        (offer(changed(AUDIO, "a=rtcp-mux"), VIDEO), "a=rtcp-mux"),
        (offer(AUDIO, VIDEO, session=changed(SESSION, "a=setup:actpass", "a=setup:passive")), "active or actpass"),
        (offer(AUDIO, VIDEO, session=SESSION[1:]), "a=ice-ufrag"),
        (offer(AUDIO, VIDEO, session=changed(SESSION, SESSION[2])), "sha-256"),
        (offer(AUDIO, VIDEO, session=changed(SESSION, SESSION[2], "a=fingerprint:sha-1 AB:CD")), "sha-256"),
        (offer(AUDIO, VIDEO, session=changed(SESSION, SESSION[2], "a=fingerprint:sha-256 AB")), "sha-256"),
        (offer(AUDIO, changed(VIDEO, "a=sendonly", "a=recvonly")), "must be sendonly"),
        (offer(AUDIO, changed(VIDEO, "a=rtpmap:96 VP8/90000", "a=rtpmap:96 VP9/90000")), "VP8/90000"),
        (offer(AUDIO, changed(VIDEO, "a=ssrc:2 cname:x")), "a=ssrc"),
        (offer(AUDIO, changed(VIDEO, "a=ssrc:2 cname:x", "a=ssrc:1 cname:x")), "one SSRC"),
        (offer((*AUDIO, "a=extmap:4 urn:a"), (*VIDEO, "a=extmap:4 urn:b")), "means two things"),
        (offer(AUDIO, changed(VIDEO, "a=mid:1", "a=mid:x"), bundle="0 x"), "has no m-line"),
        (offer(AUDIO, ("m=video 0 UDP/TLS/RTP/SAVPF 96", *VIDEO[1:]), bundle="0"), "has no m-line"),
        # RFC 5761 §4: 72 on a shared port would be read as an RTCP sender report.
        (
            offer(AUDIO, ("m=video 9 UDP/TLS/RTP/SAVPF 72", *VIDEO[1:4], "a=rtpmap:72 VP8/90000", "a=ssrc:2 cname:x")),
            "VP8/90000",
        ),
    ],
)
def test_an_offer_that_cannot_work_says_what_would(text: str, hint: str) -> None:
    with pytest.raises(ProtocolError, match=hint) as refused:
        PublisherNegotiation(LOCAL).answer(text, [MIC, camera()])
    assert refused.value.code == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("tracks", "hint"),
    [
        ([MIC, camera(mid="0")], "of its own"),
        ([MIC, camera(publication="mic")], "of its own"),
        ([camera(mid="0")], "does not fit"),
        ([OfferedTrack("1", PublicationId("x"), Source.MICROPHONE, Codec.VP8, "lk1")], "does not fit"),
        ([camera(Codec.H264)], "packetization-mode=1"),
        ([camera(mid="7")], "has no m-line"),
    ],
)
def test_tracks_must_fit_their_m_lines(tracks: list[OfferedTrack], hint: str) -> None:
    with pytest.raises(ProtocolError, match=hint):
        PublisherNegotiation(LOCAL).answer(offer(AUDIO, VIDEO), tracks)


@pytest.mark.parametrize(
    ("fmtp", "works"),
    [
        ("packetization-mode=1;profile-level-id=42e01f", True),
        ("packetization-mode=1;profile-level-id=42001f", True),
        ("packetization-mode=1", True),
        ("packetization-mode=0;profile-level-id=42e01f", False),
        ("profile-level-id=42e01f", False),
        ("packetization-mode=1;profile-level-id=64001f", False),
    ],
)
def test_h264_must_be_baseline_in_fragments(fmtp: str, works: bool) -> None:
    lines = changed(VIDEO, "a=rtpmap:96 VP8/90000", "a=rtpmap:96 H264/90000", f"a=fmtp:96 {fmtp}")
    negotiation = PublisherNegotiation(LOCAL)
    if works:
        negotiation.answer(offer(AUDIO, lines), [camera(Codec.H264)])
    else:
        with pytest.raises(ProtocolError, match="42e01f"):
            negotiation.answer(offer(AUDIO, lines), [camera(Codec.H264)])


def test_a_text_that_is_no_sdp_is_a_wire_error() -> None:
    with pytest.raises(WireError):
        PublisherNegotiation(LOCAL).answer("hello", [])


# --- the second offer -------------------------------------------------------------------------------------------

BOTH_CODECS = (
    "m=video 9 UDP/TLS/RTP/SAVPF 96 98",
    *VIDEO[1:5],
    "a=rtpmap:98 VP9/90000",
    "a=ssrc:2 cname:x",
)


def connected() -> PublisherNegotiation:
    negotiation = PublisherNegotiation(LOCAL)
    negotiation.answer(offer(AUDIO, BOTH_CODECS), [MIC, camera()])
    return negotiation


def test_answers_are_numbered_in_their_origin() -> None:
    negotiation = connected()
    agreement = negotiation.answer(offer(AUDIO, BOTH_CODECS), [MIC, camera()])
    assert read_sdp(agreement.answer_sdp).version == 2


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (offer(AUDIO, bundle="0"), "m-line is missing"),
        (offer(BOTH_CODECS, AUDIO, bundle="1 0"), "keep the order"),
        (offer(AUDIO, changed(BOTH_CODECS, "a=mid:1", "a=mid:2"), bundle="0 2"), "keep the order"),
        (
            offer(
                AUDIO, BOTH_CODECS, session=changed(SESSION, SESSION[2], f"a=fingerprint:sha-256 {FINGERPRINT.value}")
            ),
            "start a new one",
        ),
    ],
)
def test_a_connected_leg_keeps_its_m_lines_and_its_certificate(text: str, hint: str) -> None:
    with pytest.raises(ProtocolError, match=hint):
        connected().answer(text, [MIC])


def test_a_live_m_line_keeps_its_codec() -> None:
    negotiation = connected()
    with pytest.raises(ProtocolError, match="keeps its codec"):
        negotiation.answer(offer(AUDIO, BOTH_CODECS), [MIC, camera(Codec.VP9)])


def test_an_m_line_that_was_given_up_may_take_another_codec() -> None:
    negotiation = connected()
    negotiation.answer(offer(AUDIO, BOTH_CODECS), [MIC])
    agreement = negotiation.answer(offer(AUDIO, BOTH_CODECS), [MIC, camera(Codec.VP9)])
    assert spec_of(agreement, "1").codecs == (NegotiatedCodec(Codec.VP9, 98),)


def test_a_refused_offer_changes_nothing() -> None:
    negotiation = connected()
    with pytest.raises(ProtocolError):
        negotiation.answer(offer(AUDIO, BOTH_CODECS, bundle="0"), [MIC])
    with pytest.raises(ProtocolError, match="keeps its codec"):
        negotiation.answer(offer(AUDIO, BOTH_CODECS), [MIC, camera(Codec.VP9)])
    assert read_sdp(negotiation.answer(offer(AUDIO, BOTH_CODECS), [MIC]).answer_sdp).version == 2


def test_the_place_of_a_rejected_m_line_may_be_put_to_new_use() -> None:
    negotiation = PublisherNegotiation(LOCAL)
    dead = ("m=audio 0 UDP/TLS/RTP/SAVPF 111", "a=mid:0")
    negotiation.answer(offer(dead, VIDEO, bundle="1"), [camera()])
    reborn = changed(AUDIO, "a=mid:0", "a=mid:5")
    agreement = negotiation.answer(
        offer(reborn, VIDEO, bundle="1 5"),
        [camera(), OfferedTrack("5", PublicationId("mic"), Source.MICROPHONE, Codec.OPUS, "lk1")],
    )
    assert [spec.mid for _, spec in agreement.tracks] == ["5", "1"]


def test_ice_may_restart() -> None:
    session = changed(SESSION, "a=ice-ufrag:adau", "a=ice-ufrag:anew")
    assert connected().answer(offer(AUDIO, BOTH_CODECS, session=session), [MIC]).remote.ice_ufrag == "anew"


def test_passwords_are_not_printed() -> None:
    agreement = connected().answer(offer(AUDIO, BOTH_CODECS), [MIC])
    assert "p" * 22 not in repr(agreement.remote)
    assert "s" * 24 not in repr(LOCAL)
    assert "p" * 22 not in repr(read_sdp(offer(AUDIO)[: -len("\r\n")].replace("BUNDLE 0 1", "BUNDLE 0")))
