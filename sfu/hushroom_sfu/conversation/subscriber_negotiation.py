"""The subscriber leg of one client: the server offers seats to send on, the client answers with what it can decode.

A seat is one audio and one camera m-line under one msid stream and one CNAME, so that browsers keep lips in sync.
m-lines are added, never removed; one can be set inactive and active again. Pure: chance is the `entropy` argument.
"""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass

from hushroom_common.header_extensions import ExtensionUri
from hushroom_common.ids import Codec, Kind
from hushroom_sfu.conversation.codec_choice import is_codec, offered_codecs
from hushroom_sfu.conversation.sdp import (
    Direction,
    HeaderExtension,
    MediaSection,
    Msid,
    RtpCodec,
    Session,
    Setup,
    Ssrc,
    SsrcGroup,
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
from hushroom_sfu.core.specs import DownTrackSpec, NegotiatedCodec

__all__ = ["SubscriberAgreement", "SubscriberNegotiation"]

# The server chooses the ids, one meaning each in the whole bundle, all within the one-byte form (RFC 8285 §4.2).
_MID = HeaderExtension(1, ExtensionUri.MID)
_DEPENDENCY_DESCRIPTOR = HeaderExtension(2, ExtensionUri.DEPENDENCY_DESCRIPTOR)
_VIDEO_ORIENTATION = HeaderExtension(3, ExtensionUri.VIDEO_ORIENTATION)
_ABSOLUTE_CAPTURE_TIME = HeaderExtension(4, ExtensionUri.ABSOLUTE_CAPTURE_TIME)
_EXTENSIONS = {
    Kind.AUDIO: (_MID, _ABSOLUTE_CAPTURE_TIME),
    Kind.VIDEO: (_MID, _DEPENDENCY_DESCRIPTOR, _VIDEO_ORIENTATION, _ABSOLUTE_CAPTURE_TIME),
}


@dataclass(frozen=True, slots=True)
class SubscriberAgreement:
    """What an answer led to: the m-lines that can carry something now, and the client's end of the transport.

    An m-line without a slot was set inactive or was not accepted.
    """

    slots: tuple[DownTrackSpec, ...]
    remote: RemoteTransport


@dataclass(slots=True)
class _Line:
    """One m-line of ours: what it is for good, and whether it is active."""

    mid: str
    kind: Kind
    stream: str
    cname: str
    ssrc: int
    rtx_ssrc: int | None
    is_active: bool = True


class SubscriberNegotiation:
    """Offers and answers of one subscriber leg, from its first to its last.

    `entropy` gives so many unguessable bytes; SSRCs, CNAMEs and the session's id are made of it.
    """

    def __init__(self, local: LocalTransport, *, entropy: Callable[[int], bytes]) -> None:
        self._local = local
        self._entropy = entropy
        self._lines: list[_Line] = []
        self._ssrcs: set[int] = set()
        self._streams = 0
        self._session_id = int.from_bytes(entropy(8)) >> 1  # RFC 8829 §5.2.1: 63 random bits
        self._number = 0
        self._awaited: Session | None = None
        self._remote: RemoteTransport | None = None

    @property
    def awaits_answer(self) -> bool:
        """Whether the last offer is still unanswered."""
        return self._awaited is not None

    def add_seat(self) -> tuple[str, str]:
        """A new seat in the next offer: the mids of its audio and its camera m-line."""
        stream, cname = self._new_stream()
        return self._add_line(Kind.AUDIO, stream, cname), self._add_line(Kind.VIDEO, stream, cname)

    def add_screen(self, *, with_audio: bool = False) -> tuple[str, str | None]:
        """Room for a screen share in the next offer: the mids of its video and, if wanted, its audio m-line."""
        stream, cname = self._new_stream()
        video = self._add_line(Kind.VIDEO, stream, cname)
        return video, self._add_line(Kind.AUDIO, stream, cname) if with_audio else None

    def set_inactive(self, mid: str) -> None:
        """Offer the m-line as inactive from the next offer on; it keeps its place and its numbers."""
        self._line(mid).is_active = False

    def set_active(self, mid: str) -> None:
        """Offer the m-line as sendonly again from the next offer on."""
        self._line(mid).is_active = True

    def offer(self) -> tuple[int, str]:
        """The next offer and its number. It replaces an offer that is still unanswered."""
        self._number += 1
        self._awaited = self._describe()
        return self._number, write_sdp(self._awaited)

    def accept(self, number: int, answer_sdp: str) -> SubscriberAgreement:
        """Take the answer to the last offer.

        Raises WireError for a text that is no SDP, ProtocolError for an answer to another offer or one that does not
        fit the offer; the offer then still awaits its answer.
        """
        offer = self._awaited
        if offer is None or number != self._number:
            raise refusal("this answers no offer that is open")
        answer = read_sdp(answer_sdp)
        if [(one.mid, one.kind) for one in answer.media] != [(one.mid, one.kind) for one in offer.media]:
            raise refusal("an answer has the m-lines of the offer, in its order")
        accepted = [section for section in answer.media if not section.is_rejected]
        remote = read_remote_transport(answer, accepted, frozenset({Setup.ACTIVE}), self._remote)
        slots = tuple(
            _slot(line, offered, answered, answer)
            for line, offered, answered in zip(self._lines, offer.media, answer.media, strict=False)
            if offered.direction.sends and answered.direction.receives and not answered.is_rejected
        )
        self._awaited, self._remote = None, remote
        return SubscriberAgreement(slots, remote)

    def _describe(self) -> Session:
        return Session(
            media=tuple(map(self._describe_line, self._lines)),
            session_id=self._session_id,
            version=self._number,
            bundles=(tuple(line.mid for line in self._lines),),
            is_ice_lite=True,
            allows_mixed_extensions=True,
            transport=local_description(self._local, Setup.ACTPASS),
        )

    def _describe_line(self, line: _Line) -> MediaSection:
        candidates = local_candidates(self._local)
        # Until the client is known to have them the candidates are on every m-line, not only on the tagged one: aiortc
        # keeps those of the last m-line it reads.
        has_candidates = self._remote is None or line is self._lines[0]
        codecs = offered_codecs(line.kind)
        sources = (line.ssrc,) if line.rtx_ssrc is None else (line.ssrc, line.rtx_ssrc)
        return MediaSection(
            kind=line.kind,
            port=candidates[0].port,
            protocol="UDP/TLS/RTP/SAVPF",
            formats=tuple(str(codec.payload_type) for codec in codecs),
            mid=line.mid,
            direction=Direction.SENDONLY if line.is_active else Direction.INACTIVE,
            codecs=codecs,
            extensions=_EXTENSIONS[line.kind],
            msids=(Msid(line.stream, f"{line.stream}-{line.kind}"),),
            ssrcs=tuple(Ssrc(ssrc, line.cname) for ssrc in sources),
            ssrc_groups=(SsrcGroup("FID", sources),) if len(sources) > 1 else (),
            candidates=candidates if has_candidates else (),
            has_all_candidates=has_candidates,
            rtcp_mux=True,
            rtcp_reduced_size=True,
        )

    def _line(self, mid: str) -> _Line:
        return next(line for line in self._lines if line.mid == mid)

    def _new_stream(self) -> tuple[str, str]:
        self._streams += 1
        # RFC 7022 §4.2: a CNAME of 96 random bits lasts as long as the session and links to nothing else.
        return f"seat-{self._streams}", b64encode(self._entropy(12)).decode("ascii")

    def _add_line(self, kind: Kind, stream: str, cname: str) -> str:
        mid = str(len(self._lines))
        ssrc = self._new_ssrc()
        rtx_ssrc = self._new_ssrc() if kind is Kind.VIDEO else None
        self._lines.append(_Line(mid, kind, stream, cname, ssrc, rtx_ssrc))
        return mid

    def _new_ssrc(self) -> int:
        ssrc = int.from_bytes(self._entropy(4))
        while ssrc in self._ssrcs or not ssrc:
            ssrc = (ssrc + 1) % 2**32
        self._ssrcs.add(ssrc)
        return ssrc


def _slot(line: _Line, offered: MediaSection, answered: MediaSection, answer: Session) -> DownTrackSpec:
    """What may be sent on an m-line that the answer accepted."""
    codecs = _kept_codecs(offered, answered)
    if not codecs:
        raise refusal(f"m-line {line.mid} is answered without a codec: reject it with port 0")
    has_rtx = any(codec.rtx_payload_type is not None for codec in codecs)
    return DownTrackSpec(
        mid=line.mid,
        kind=line.kind,
        codecs=codecs,
        ssrc=line.ssrc,
        rtx_ssrc=line.rtx_ssrc if has_rtx else None,
        cname=line.cname,
        extensions=_kept_extensions(offered, answered, answer),
    )


def _kept_codecs(offered: MediaSection, answered: MediaSection) -> tuple[NegotiatedCodec, ...]:
    mine = {codec.payload_type: codec for codec in offered.codecs}
    kept: list[NegotiatedCodec] = []
    for theirs in answered.codecs:
        # RFC 3264 §6.1 would let a receiver renumber; nobody does, and packets are built with the offer's numbers.
        if theirs.payload_type not in mine or not _is_same(mine[theirs.payload_type], theirs):
            raise refusal(f"m-line {answered.mid}: payload type {theirs.payload_type} is not what the offer says")
        codec = next((one for one in Codec if is_codec(theirs, one)), None)
        if codec is not None:
            rtx = answered.rtx_of(theirs.payload_type)
            kept.append(NegotiatedCodec(codec, theirs.payload_type, rtx.payload_type if rtx is not None else None))
    return tuple(kept)


def _is_same(mine: RtpCodec, theirs: RtpCodec) -> bool:
    return mine.is_named(theirs.name.lower()) and (mine.clock_rate, mine.channels, mine.apt) == (
        theirs.clock_rate,
        theirs.channels,
        theirs.apt,
    )


def _kept_extensions(offered: MediaSection, answered: MediaSection, answer: Session) -> tuple[tuple[str, int], ...]:
    ids = {one.id: one.uri for one in offered.extensions}
    for extension in answered.extensions:
        if ids.get(extension.id) != extension.uri:
            raise refusal(f"m-line {answered.mid}: extmap id {extension.id} is not what the offer says")
    kept = tuple((one.uri, one.id) for one in answered.extensions if one.direction is None or one.direction.receives)
    if answer.allows_mixed_extensions or answered.allows_mixed_extensions:
        return kept
    # The dependency descriptor's template structure needs the two-byte form on some packets of a stream and not on
    # others, which RFC 8285 §4.1.2 allows only where both sides said so.
    return tuple((uri, number) for uri, number in kept if uri != ExtensionUri.DEPENDENCY_DESCRIPTOR)
