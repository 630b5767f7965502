"""The server's SDP reader and writer, held against what browsers and aiortc really say, and against nonsense."""

from collections import Counter
from pathlib import Path

import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from hypothesis import given, settings
from hypothesis import strategies as st

from hushroom_common.errors import WireError
from hushroom_common.header_extensions import ExtensionUri
from hushroom_sfu.conversation.sdp import (
    Candidate,
    Direction,
    HeaderExtension,
    MediaSection,
    Msid,
    Rid,
    RtpCodec,
    Setup,
    Simulcast,
    SsrcGroup,
)
from hushroom_sfu.conversation.sdp_reader import MAX_CHARS, MAX_LINES, MAX_SECTIONS, read_sdp
from hushroom_sfu.conversation.sdp_writer import write_sdp
from hushroom_sfu.conversation.transport import Fingerprint

VECTORS = Path(__file__).parents[1] / "vectors" / "rtp"
RECORDED = sorted(path.name for path in VECTORS.glob("*.sdp"))
OFFERS = [name for name in RECORDED if name.endswith(".offer.sdp")]


def recorded(name: str) -> str:
    return (VECTORS / name).read_bytes().decode()


# --- browsers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_what_browsers_say_is_written_as_it_was_read(name: str) -> None:
    session = read_sdp(recorded(name))
    assert read_sdp(write_sdp(session)) == session


@pytest.mark.parametrize("name", RECORDED)
def test_no_line_of_a_browser_is_lost(name: str) -> None:
    text = recorded(name)
    lines = Counter(line.partition(":")[0] for line in text.splitlines() if line.startswith("a="))
    media = read_sdp(text).media
    assert len(media) == sum(line.startswith("m=") for line in text.splitlines())
    for attribute, count in {
        "a=rtpmap": sum(len(section.codecs) for section in media),
        "a=rtcp-fb": sum(len(codec.feedback) for section in media for codec in section.codecs),
        "a=fmtp": sum(bool(codec.parameters) for section in media for codec in section.codecs),
        "a=extmap": sum(len(section.extensions) for section in media),
        "a=rid": sum(len(section.rids) for section in media),
        "a=ssrc-group": sum(len(section.ssrc_groups) for section in media),
        "a=candidate": sum(len(section.candidates) for section in media),
        "a=mid": sum(section.mid is not None for section in media),
        "a=rtcp-mux": sum(section.rtcp_mux for section in media),
    }.items():
        assert count == lines[attribute], attribute


# By hand, from the files: first video codec, its payload type and RTX's; the SSRCs of sound, of video and RTX; rids.
FACTS: dict[str, tuple[str, int, int, int, tuple[int, ...], tuple[str, ...]]] = {
    "chromium-av1-l1t3-dd": ("AV1", 45, 46, 3620343, (3179975956, 2979769651), ()),
    "chromium-av1-l3t3key": ("AV1", 45, 46, 4233454895, (2112433524, 2586986042), ()),
    "chromium-h264": ("H264", 102, 103, 2031113843, (534601305, 995631184), ()),
    "chromium-vp8": ("VP8", 96, 97, 4053343477, (3811948675, 1025533532), ()),
    "chromium-vp8-simulcast": ("VP8", 96, 97, 1069257680, (), ("q", "h", "f")),
    "chromium-vp8-simulcast-sealed-lk": ("VP8", 96, 97, 1285377289, (), ("q", "h", "f")),
    "chromium-vp9": ("VP9", 98, 99, 3687947366, (3503802968, 1682868848), ()),
    "chromium-vp9-l3t3key": ("VP9", 98, 99, 3973523887, (2136075169, 2326101380), ()),
    "firefox-av1": ("AV1", 99, 100, 2204407219, (3091223242, 1011959077), ()),
    "firefox-vp8": ("VP8", 120, 124, 3712133607, (4080759456, 3211697661), ()),
    "firefox-vp9": ("VP9", 121, 125, 752670541, (299273318, 163883338), ()),
}


WITH_DEPENDENCY_DESCRIPTOR = {
    "chromium-av1-l1t3-dd",
    "chromium-av1-l3t3key",
    "chromium-vp8-simulcast",
    "chromium-vp8-simulcast-sealed-lk",
    "chromium-vp9-l3t3key",
}


def test_the_facts_cover_every_recorded_offer() -> None:
    assert set(FACTS) == {name.removesuffix(".offer.sdp") for name in OFFERS}


@pytest.mark.parametrize("name", FACTS)
def test_a_browsers_offer_says(name: str) -> None:
    codec, payload_type, rtx, audio_ssrc, video_ssrcs, rids = FACTS[name]
    session = read_sdp(recorded(f"{name}.offer.sdp"))
    audio, video = session.media
    by_chromium = name.startswith("chromium")

    assert session.bundles == (("0", "1"),)
    assert (audio.kind, audio.mid, audio.direction) == ("audio", "0", Direction.SENDONLY)
    assert (video.kind, video.mid, video.direction) == ("video", "1", Direction.SENDONLY)
    assert {section.protocol for section in session.media} == {"UDP/TLS/RTP/SAVPF"}
    assert not any(section.is_rejected for section in session.media)
    assert session.allows_mixed_extensions is by_chromium
    assert video.allows_mixed_extensions is not by_chromium

    opus = audio.codecs[0]
    assert (opus.name, opus.payload_type, opus.clock_rate, opus.channels) == (
        ("opus", 111, 48_000, 2) if by_chromium else ("opus", 109, 48_000, 2)
    )
    assert opus.parameter("useinbandfec") == "1"
    first = video.codecs[0]
    assert (first.name, first.payload_type, first.clock_rate) == (codec, payload_type, 90_000)
    assert {"nack", "nack pli", "ccm fir"} <= set(first.feedback)
    repeats = video.rtx_of(payload_type)
    assert repeats is not None
    assert (repeats.name, repeats.payload_type, repeats.apt) == ("rtx", rtx, payload_type)

    assert [source.ssrc for source in audio.ssrcs] == [audio_ssrc]
    assert video.ssrc_groups == ((SsrcGroup("FID", video_ssrcs),) if video_ssrcs else ())
    assert {source.ssrc for source in video.ssrcs} == set(video_ssrcs)
    assert len({source.cname for section in session.media for source in section.ssrcs}) == 1
    assert audio.msids[0].stream == video.msids[0].stream
    assert video.rids == tuple(Rid(rid, "send") for rid in rids)
    assert video.simulcast == (Simulcast(send=tuple((rid,) for rid in rids)) if rids else None)

    uris = {extension.uri: extension.id for extension in video.extensions}
    assert uris[ExtensionUri.MID] == (4 if by_chromium else 3)
    assert uris.get(ExtensionUri.DEPENDENCY_DESCRIPTOR) == (12 if name in WITH_DEPENDENCY_DESCRIPTOR else None)

    transport = session.transport_of(video)
    assert transport == session.transport_of(audio)
    assert transport.setup is Setup.ACTPASS
    assert [fingerprint.algorithm for fingerprint in transport.fingerprints] == ["sha-256"]
    assert transport.ice_ufrag is not None
    assert {candidate.protocol for candidate in video.candidates} == {"udp", "tcp"}
    assert video.rtcp_mux
    assert video.rtcp_reduced_size


def test_a_feedback_line_for_all_codecs_is_spread() -> None:
    (video,) = read_sdp(
        described("a=rtpmap:96 VP8/90000", "a=rtpmap:98 VP9/90000", "a=rtcp-fb:* nack  pli", "a=rtcp-fb:98 nack")
    ).media
    assert [codec.feedback for codec in video.codecs] == [("nack pli",), ("nack", "nack pli")]


# --- aiortc -----------------------------------------------------------------------------------------------------


def peer(kinds: str, codec: str | None = None) -> RTCPeerConnection:
    """A connection with one m-line a letter: a audio, v video, in capitals inactive."""
    # By default an answer with several m-lines of a kind leaves some on a transport that aiortc has already dropped.
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    for letter in kinds:
        transceiver = connection.addTransceiver(
            "audio" if letter in "aA" else "video", direction="inactive" if letter.isupper() else "sendrecv"
        )
        if codec is not None and letter in "vV":
            wanted = [one for one in RTCRtpSender.getCapabilities("video").codecs if one.mimeType == f"video/{codec}"]
            transceiver.setCodecPreferences(wanted)
    return connection


@pytest.mark.parametrize("codec", ["VP8", "H264"])
@pytest.mark.parametrize("kinds", ["a", "v", "aV", "av" * 3, "aAvV" * 3])
async def test_what_aiortc_says_is_understood(kinds: str, codec: str) -> None:
    ada, bo = peer(kinds, codec), peer("")
    try:
        await ada.setLocalDescription(await ada.createOffer())
        await bo.setRemoteDescription(RTCSessionDescription(ada.localDescription.sdp, "offer"))
        await bo.setLocalDescription(await bo.createAnswer())
        offer, answer = read_sdp(ada.localDescription.sdp), read_sdp(bo.localDescription.sdp)
    finally:
        await ada.close()
        await bo.close()
    for session, setup in ((offer, Setup.ACTPASS), (answer, Setup.ACTIVE)):
        assert read_sdp(write_sdp(session)) == session
        assert session.bundles == (tuple(str(index) for index in range(len(kinds))),)
        assert [section.kind for section in session.media] == ["audio" if one in "aA" else "video" for one in kinds]
        for section, letter in zip(session.media, kinds, strict=True):
            assert (section.direction is Direction.INACTIVE) is letter.isupper()
            assert section.codecs[0].is_named("opus" if section.kind == "audio" else codec.lower())
            assert session.transport_of(section).setup is setup
            assert section.rtcp_mux
            assert section.has_all_candidates


async def test_aiortc_takes_its_own_words_in_our_writing() -> None:
    ada, bo = peer("avAV"), peer("")
    try:
        await ada.setLocalDescription(await ada.createOffer())
        await bo.setRemoteDescription(
            RTCSessionDescription(write_sdp(read_sdp(ada.localDescription.sdp)), "offer"),
        )
        await bo.setLocalDescription(await bo.createAnswer())
        await ada.setRemoteDescription(
            RTCSessionDescription(write_sdp(read_sdp(bo.localDescription.sdp)), "answer"),
        )
        assert ada.signalingState == "stable"
    finally:
        await ada.close()
        await bo.close()


# --- line by line -----------------------------------------------------------------------------------------------

VIDEO_LINE = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98"


def described(*lines: str, media: str = VIDEO_LINE) -> str:
    return "\r\n".join(["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", media, *lines, ""])


def only_section(*lines: str, media: str = VIDEO_LINE) -> MediaSection:
    (section,) = read_sdp(described(*lines, media=media)).media
    return section


def test_an_m_line_is_read_into_its_parts() -> None:
    section = only_section(
        "a=mid:v1",
        "a=recvonly",
        "a=rtpmap:96 VP8/90000",
        "a=fmtp:96 max-fs=12288; max-fr=60;;=nameless;flag",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=extmap:2/sendonly urn:3gpp:video-orientation",
        "a=extmap:4096 urn:wants:an-id",
        "a=msid:stream track",
        "a=ssrc:1 cname:one two",
        "a=ssrc:2 label:x",
        "a=rid:h send pt=96;max-width=640",
        "a=simulcast:recv q send h,f;~g",
        "a=candidate:1 1 UDP 2130706431 2001:db8::1 7000 typ srflx raddr 192.0.2.1 rport 5",
        "a=fingerprint:SHA-256 ab:cd",
        "a=x-unknown:whatever",
        "b=AS:30",
        "rubbish",
    )
    assert section.mid == "v1"
    assert section.direction is Direction.RECVONLY
    assert section.codecs[0] == RtpCodec(
        96, "VP8", 90_000, parameters=(("max-fs", "12288"), ("max-fr", "60"), ("flag", ""))
    )
    assert section.rtx_of(96) == RtpCodec(97, "rtx", 90_000, parameters=(("apt", "96"),))
    assert section.extensions == (HeaderExtension(2, "urn:3gpp:video-orientation", Direction.SENDONLY),)
    assert section.msids == (Msid("stream", "track"),)
    assert [(one.ssrc, one.cname) for one in section.ssrcs] == [(1, "one two"), (2, "")]
    assert section.rids == (Rid("h", "send", "pt=96;max-width=640"),)
    assert section.simulcast == Simulcast(send=(("h", "f"), ("~g",)), recv=(("q",),))
    assert section.candidates == (
        Candidate("1", 1, "udp", 2_130_706_431, "2001:db8::1", 7000, "srflx", extensions="raddr 192.0.2.1 rport 5"),
    )
    assert section.transport.fingerprints == (Fingerprint("sha-256", "AB:CD"),)


def test_an_m_line_with_port_0_is_rejected_unless_it_is_only_waiting_for_the_bundle() -> None:
    rejected = only_section(media="m=video 0 UDP/TLS/RTP/SAVPF 96")
    bundle_only = only_section("a=bundle-only", media="m=video 0 UDP/TLS/RTP/SAVPF 96")
    assert rejected.is_rejected
    assert not bundle_only.is_rejected


def test_a_data_channel_is_read_without_payload_types() -> None:
    section = only_section("a=sctp-port:5000", media="m=application 9 UDP/DTLS/SCTP webrtc-datachannel")
    assert section.formats == ("webrtc-datachannel",)
    assert section.codecs == ()


def test_the_session_speaks_for_m_lines_that_say_nothing() -> None:
    text = "\n".join(
        [
            "v=0",
            "a=sendonly",
            "a=ice-ufrag:sess",
            "a=ice-pwd:" + "s" * 22,
            "a=setup:actpass",
            "m=audio 9 UDP/TLS/RTP/SAVPF 0",
            "m=video 9 UDP/TLS/RTP/SAVPF 96",
            "a=inactive",
            "a=ice-ufrag:mine",
            "a=setup:active",
        ]
    )
    session = read_sdp(text)
    audio, video = session.media
    assert (audio.direction, video.direction) == (Direction.SENDONLY, Direction.INACTIVE)
    assert session.transport_of(audio).ice_ufrag == "sess"
    assert session.transport_of(video).ice_ufrag == "mine"
    assert session.transport_of(video).ice_password == "s" * 22
    assert session.transport_of(video).setup is Setup.ACTIVE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v=1",
        "m=video 9 UDP/TLS/RTP/SAVPF 96",
        described(media="m=video"),
        described(media="m=video 9 UDP/TLS/RTP/SAVPF"),
        described(media="m=video 70000 UDP/TLS/RTP/SAVPF 96"),
        described(media="m=video 9 UDP/TLS/RTP/SAVPF 128"),
        described(media="m=video 9 UDP/TLS/RTP/SAVPF x"),
        described(media="m=video 9 UDP/TLS/RTP/SAVPF 96 096"),
        described("a=mid:"),
        described("a=mid:seventeen-letters"),
        described("a=mid:a", "a=mid:b"),
        described("a=mid:a", VIDEO_LINE, "a=mid:a"),
        described("a=rtpmap:96"),
        described("a=rtpmap:96 VP8"),
        described("a=rtpmap:96 VP8/-1"),
        described("a=rtpmap:96 VP8/9e4"),
        described("a=rtpmap:96 VP8/９００００"),
        described("a=rtpmap:96 VP8/90000", "a=rtpmap:96 VP9/90000"),
        described(*(f"a=rtcp-fb:* x{number}" for number in range(33))),
        described("a=extmap:x urn:a"),
        described("a=extmap:0 urn:a"),
        described("a=extmap:1/sideways urn:a"),
        described("a=extmap:1 urn:a", "a=extmap:1 urn:b"),
        described("a=ssrc:4294967296 cname:x"),
        described("a=ssrc:-1 cname:x"),
        described("a=ssrc-group:FID"),
        described("a=ssrc-group:FID 1 x"),
        described("a=rid:q sideways"),
        described("a=rid:q send", "a=rid:q recv"),
        described("a=simulcast:send"),
        described("a=simulcast:send q send h"),
        described("a=simulcast:send q;;h"),
        described("a=candidate:1 1 udp 1 192.0.2.1 7000 host"),
        described("a=candidate:1 1 udp 1 192.0.2.1 70000 typ host"),
        described("a=ice-ufrag:abc"),
        described("a=ice-pwd:short"),
        described("a=ice-ufrag:with space"),
        described("a=fingerprint:sha-256 AB:C"),
        described("a=setup:maybe"),
        described("a=msid:"),
        described("a=sendonly\x00"),
        described("a=x:\x0b"),
        "v=0\no=- x 1 IN IP4 0.0.0.0",
        "v=0\na=group:BUNDLE 0",
        "v=0\na=group:BUNDLE 0 0\nm=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:0",
        "v=0\na=group:BUNDLE 0\na=group:BUNDLE 0\nm=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:0",
    ],
    ids=lambda text: repr(text[-40:]),
)
def test_what_contradicts_itself_or_is_malformed_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        read_sdp(text)


def test_a_description_is_bounded() -> None:
    section = "m=audio 9 UDP/TLS/RTP/SAVPF 0\n"
    read_sdp("v=0\n" + section * MAX_SECTIONS)
    with pytest.raises(WireError, match="m-lines"):
        read_sdp("v=0\n" + section * (MAX_SECTIONS + 1))
    read_sdp("v=0" + "\na=x" * (MAX_LINES - 1))
    with pytest.raises(WireError, match="lines"):
        read_sdp("v=0" + "\na=x" * MAX_LINES)
    read_sdp("v=0\na=x:".ljust(MAX_CHARS, "x"))
    with pytest.raises(WireError, match="characters"):
        read_sdp("v=0\na=x:".ljust(MAX_CHARS + 1, "x"))


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(WireError) as refused:
        read_sdp(described("a=candidate:1 1 udp 1 192.0.2.77 typ"))
    assert "192.0.2.77" not in str(refused.value)


# --- any text ---------------------------------------------------------------------------------------------------

LINES = sorted({line for name in OFFERS for line in recorded(name).splitlines()})
PIECES = st.sampled_from(LINES) | st.sampled_from(
    ["a=simulcast:send a,~b;c recv d", "a=rtcp-fb:* nack", "a=bundle-only"]
)
MUTATED = st.builds(
    lambda line, at, cut, insert: line[:at] + insert + line[at + cut :],
    PIECES,
    st.integers(0, 60),
    st.integers(0, 8),
    st.text(max_size=4) | st.sampled_from([" ", ";", ":", "/", "=", "*", "0", "99999999999", "~", ","]),
)


def read_back(text: str) -> None:
    try:
        session = read_sdp(text)
    except WireError:
        return
    assert read_sdp(write_sdp(session)) == session


@given(st.text(max_size=300))
def test_any_text_is_read_or_raises_wire_error(text: str) -> None:
    read_back(text)
    read_back("v=0\n" + text)
    read_back(described(text))


@settings(max_examples=300)
@given(st.lists(PIECES | MUTATED, max_size=40))
def test_any_mixture_of_lines_is_written_as_it_was_read_or_raises_wire_error(lines: list[str]) -> None:
    read_back("\r\n".join(["v=0", *lines, ""]))
