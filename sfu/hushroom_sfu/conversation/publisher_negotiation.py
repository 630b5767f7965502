"""The publisher leg of one client: he offers, the server answers with what it will take.

Pure: descriptions in, descriptions out. A refused offer changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hushroom_common.header_extensions import ExtensionUri
from hushroom_common.ids import Codec, Kind, Source
from hushroom_common.signaling.messages import OfferedTrack
from hushroom_sfu.conversation.codec_choice import accepted_rtx, answered, find_codec
from hushroom_sfu.conversation.sdp import (
    Direction,
    HeaderExtension,
    MediaSection,
    Rid,
    RtpCodec,
    Session,
    Setup,
    Simulcast,
)
from hushroom_sfu.conversation.sdp_reader import read_sdp
from hushroom_sfu.conversation.sdp_writer import write_sdp
from hushroom_sfu.conversation.transport import LocalTransport, RemoteTransport
from hushroom_sfu.conversation.transport_negotiation import (
    local_candidates,
    local_description,
    read_remote_transport,
    refusal,
)
from hushroom_sfu.core.specs import NegotiatedCodec, UpTrackSpec

__all__ = ["PublisherAgreement", "PublisherNegotiation"]

_DEPENDENCY_DESCRIPTOR = ExtensionUri.DEPENDENCY_DESCRIPTOR

# The audio level (RFC 6464) is left out on purpose: it tells the server, in clear, who speaks and when.
_ACCEPTED_EXTENSIONS = frozenset(
    {
        ExtensionUri.MID,
        ExtensionUri.RID,
        ExtensionUri.REPAIRED_RID,
        _DEPENDENCY_DESCRIPTOR,
        ExtensionUri.VIDEO_ORIENTATION,
        ExtensionUri.ABSOLUTE_CAPTURE_TIME,
    }
)
_KINDS = {
    Source.MICROPHONE: Kind.AUDIO,
    Source.SCREEN_AUDIO: Kind.AUDIO,
    Source.CAMERA: Kind.VIDEO,
    Source.SCREEN: Kind.VIDEO,
}
_SETUPS = frozenset({Setup.ACTPASS, Setup.ACTIVE})


@dataclass(frozen=True, slots=True)
class PublisherAgreement:
    """What an offer led to: the answer, each published track as negotiated, and the client's end of the transport."""

    answer_sdp: str
    tracks: tuple[tuple[OfferedTrack, UpTrackSpec], ...]
    remote: RemoteTransport


@dataclass(frozen=True, slots=True)
class _Line:
    """What the next offer must keep of an m-line."""

    mid: str | None
    kind: str
    is_rejected: bool


class PublisherNegotiation:
    """Offers and answers of one publisher leg, from its first to its last."""

    def __init__(self, local: LocalTransport) -> None:
        self._local = local
        self._lines: tuple[_Line, ...] = ()
        self._codecs: dict[str, Codec] = {}
        self._remote: RemoteTransport | None = None
        self._version = 0

    def answer(
        self, offer_sdp: str, tracks: Sequence[OfferedTrack], local: LocalTransport | None = None
    ) -> PublisherAgreement:
        """Answer an offer that carries `tracks`; m-lines that none of them names are answered inactive.

        `local` is the server's end where that is new, as after an ICE restart.

        Raises WireError for a text that is no SDP, ProtocolError for an offer that cannot work; its message says what
        would.
        """
        offer = read_sdp(offer_sdp)
        self._check_growth(offer)
        by_mid = self._check_tracks(offer, tracks)
        answers = tuple(_answer_section(section, by_mid.get(section.mid or "")) for section in offer.media)
        live = {section.mid for section in answers if not section.is_rejected}
        in_use = [section for section in offer.media if section.mid in live and not section.is_rejected]
        remote = read_remote_transport(offer, in_use, _SETUPS, self._remote)
        _check_extension_ids(in_use)
        specs = tuple(
            (track, _up_track(offer_section, answer_section))
            for offer_section, answer_section in zip(offer.media, answers, strict=True)
            if (track := by_mid.get(offer_section.mid or "")) is not None
        )
        _check_ssrcs([spec for _, spec in specs])
        self._local = local or self._local
        self._version += 1
        self._lines = tuple(_Line(section.mid, section.kind, section.is_rejected) for section in answers)
        self._remote = remote
        self._codecs = {mid: track.codec for mid, track in by_mid.items()}
        return PublisherAgreement(write_sdp(self._answer(offer, answers)), specs, remote)

    def _answer(self, offer: Session, answers: tuple[MediaSection, ...]) -> Session:
        live = {section.mid for section in answers if not section.is_rejected}
        # On every m-line, not only on the tagged one: aiortc keeps the candidates of the last m-line it reads.
        candidates = local_candidates(self._local)
        media = tuple(
            section
            if section.is_rejected
            else replace(section, port=candidates[0].port, candidates=candidates, has_all_candidates=True)
            for section in answers
        )
        return Session(
            media=media,
            session_id=1,
            version=self._version,
            bundles=(tuple(mid for mid in offer.bundles[0] if mid in live),),
            is_ice_lite=True,
            allows_mixed_extensions=offer.allows_mixed_extensions,
            transport=local_description(self._local, Setup.PASSIVE),
        )

    def _check_growth(self, offer: Session) -> None:
        # RFC 8829 §5.2.2: m-lines keep their place; only a rejected one may be put to a new use.
        if len(offer.media) < len(self._lines):
            raise refusal("an m-line is missing: set it inactive or reject it, but keep its place")
        for line, section in zip(self._lines, offer.media, strict=False):
            if not line.is_rejected and (line.mid, line.kind) != (section.mid, section.kind):
                raise refusal("an m-line changed its mid or kind: keep the order of the last offer and append new ones")

    def _check_tracks(self, offer: Session, tracks: Sequence[OfferedTrack]) -> dict[str, OfferedTrack]:
        by_mid = {track.mid: track for track in tracks}
        if len(by_mid) != len(tracks) or len({track.publication for track in tracks}) != len(tracks):
            raise refusal("a track needs an m-line and a publication of its own")
        for track in tracks:
            section = offer.section(track.mid)
            if section is None or section.is_rejected:
                raise refusal(f"track {track.mid} has no m-line in the offer")
            if not section.direction.sends:
                raise refusal(f"m-line {track.mid} carries a track: it must be sendonly, not {section.direction}")
            if {section.kind} != {track.codec.kind, _KINDS[track.source]}:
                raise refusal(f"m-line {track.mid} is {section.kind}, which does not fit {track.source}/{track.codec}")
            if self._codecs.get(track.mid, track.codec) is not track.codec:
                raise refusal(f"m-line {track.mid} keeps its codec while it is in use: publish on a new m-line")
            if find_codec(section, track.codec) is None:
                raise refusal(f"m-line {track.mid} does not offer {_WOULD_WORK[track.codec]}")
        return by_mid


_WOULD_WORK = {
    Codec.OPUS: "opus/48000/2",
    Codec.VP8: "VP8/90000",
    Codec.VP9: "VP9/90000 with profile-id=0",
    Codec.H264: "H264/90000 with packetization-mode=1 and profile-level-id=42e01f",
    Codec.AV1: "AV1/90000 with profile=0",
}


def _answer_section(section: MediaSection, track: OfferedTrack | None) -> MediaSection:
    """One m-line of the answer, still without port and candidates."""
    rejected = MediaSection(section.kind, 0, section.protocol, section.formats, mid=section.mid)
    if section.is_rejected or section.kind not in set(Kind) or section.mid is None:
        return replace(rejected, direction=Direction.INACTIVE)
    codec = track.codec if track is not None else _any_codec(section)
    if codec is None:
        return replace(rejected, direction=Direction.INACTIVE)
    codecs = _answered_codecs(section, codec)
    answer = replace(
        rejected,
        port=9,
        formats=tuple(str(one.payload_type) for one in codecs),
        direction=Direction.RECVONLY if track is not None else Direction.INACTIVE,
        codecs=codecs,
        extensions=_answered_extensions(section, codec),
        allows_mixed_extensions=section.allows_mixed_extensions,
        rtcp_mux=True,
        rtcp_reduced_size=section.rtcp_reduced_size,
    )
    rid = _first_rid(section) if track is not None else None
    if rid is None:
        return answer
    # One layer, until tracks have several: the others are not sent then, which saves the publisher their bits.
    return replace(answer, rids=(Rid(rid, "recv"),), simulcast=Simulcast(recv=((rid,),)) if section.simulcast else None)


def _any_codec(section: MediaSection) -> Codec | None:
    kind = Kind(section.kind)
    return next((codec for codec in Codec if codec.kind is kind and find_codec(section, codec) is not None), None)


def _answered_codecs(section: MediaSection, codec: Codec) -> tuple[RtpCodec, ...]:
    chosen = find_codec(section, codec)
    assert chosen is not None
    rtx = accepted_rtx(section, chosen)
    return (answered(chosen, codec), rtx) if rtx is not None else (answered(chosen, codec),)


def _answered_extensions(section: MediaSection, codec: Codec) -> tuple[HeaderExtension, ...]:
    """Those of use to the server that the client is willing to send (RFC 8285 §6: ids are the offer's).

    The dependency descriptor is for AV1 alone: with it Chromium leaves PictureID and layers out of VP8's own header.
    """
    accepted = _ACCEPTED_EXTENSIONS if codec is Codec.AV1 else _ACCEPTED_EXTENSIONS - {_DEPENDENCY_DESCRIPTOR}
    return tuple(
        HeaderExtension(one.id, one.uri, None if one.direction in (None, Direction.SENDRECV) else Direction.RECVONLY)
        for one in section.extensions
        if one.uri in accepted and (one.direction is None or one.direction.sends)
    )


def _first_rid(section: MediaSection) -> str | None:
    """The simulcast layer that the client prefers (RFC 8853 §5.1: by order)."""
    sent = [rid.id for rid in section.rids if rid.direction == "send"]
    preferred = section.simulcast.send[0][0].lstrip("~") if section.simulcast and section.simulcast.send else None
    return preferred if preferred in sent else next(iter(sent), None)


def _up_track(offer: MediaSection, answer: MediaSection) -> UpTrackSpec:
    main, *rtx = answer.codecs
    fid = next((group.ssrcs for group in offer.ssrc_groups if group.semantics == "FID" and len(group.ssrcs) == 2), None)
    first = offer.ssrcs[0].ssrc if offer.ssrcs else None
    ssrc, rtx_ssrc = fid if fid is not None else (first, None)
    extensions = tuple((one.uri, one.id) for one in answer.extensions)
    if ssrc is None and ExtensionUri.MID not in dict(extensions):
        raise refusal(f"m-line {answer.mid} names neither a=ssrc nor the header extension {ExtensionUri.MID}")
    codec = next(codec for codec in Codec if main.is_named(codec))
    return UpTrackSpec(
        mid=answer.mid or "",
        kind=codec.kind,
        codecs=(NegotiatedCodec(codec, main.payload_type, rtx[0].payload_type if rtx else None),),
        ssrc=ssrc,
        rtx_ssrc=rtx_ssrc if rtx else None,
        extensions=extensions,
        wants_nack="nack" in main.feedback,
        wants_pli="nack pli" in main.feedback,
    )


def _check_extension_ids(sections: Sequence[MediaSection]) -> None:
    # RFC 9143 §13: within a bundle an id means one thing, or the MID of a packet could not be found before its m-line.
    meanings: dict[int, str] = {}
    for section in sections:
        for extension in section.extensions:
            if meanings.setdefault(extension.id, extension.uri) != extension.uri:
                raise refusal(f"extmap id {extension.id} means two things in one BUNDLE group")


def _check_ssrcs(specs: Sequence[UpTrackSpec]) -> None:
    ssrcs = [ssrc for spec in specs for ssrc in (spec.ssrc, spec.rtx_ssrc) if ssrc is not None]
    if len(set(ssrcs)) != len(ssrcs):
        raise refusal("two streams have one SSRC")
