"""A session description as a value: what offers and answers say, as far as the server has a use for it.

Text becomes this model in `sdp_reader` and text again in `sdp_writer`; what the model does not name is not kept.
RFC 8866 (SDP), 8829 (JSEP), 9143 (BUNDLE), 8839 (ICE), 8122 and 8842 (DTLS), 5761 (rtcp-mux), 8285 (header extensions),
4588 (RTX), 5576 (SSRCs), 8851 and 8853 (RIDs and simulcast), 8830 (msid).
"""

from dataclasses import dataclass, field
from enum import StrEnum

from hushroom_sfu.conversation.transport import Fingerprint

__all__ = [
    "Candidate",
    "Direction",
    "HeaderExtension",
    "MediaSection",
    "Msid",
    "Rid",
    "RtpCodec",
    "Session",
    "Setup",
    "Simulcast",
    "Ssrc",
    "SsrcGroup",
    "TransportDescription",
]


class Direction(StrEnum):
    """Which way media may flow, as seen by the description's author."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """Whether the author may send."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """Whether the author is willing to receive."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)


class Setup(StrEnum):
    """Who starts the DTLS handshake (RFC 4145 §4, RFC 8842 §5)."""

    ACTIVE = "active"
    PASSIVE = "passive"
    ACTPASS = "actpass"
    HOLDCONN = "holdconn"


@dataclass(frozen=True, slots=True)
class RtpCodec:
    """One payload type of an m-line: its rtpmap, fmtp parameters in order ("" for a bare word) and feedback.

    `feedback` holds rtcp-fb values with single spaces, such as "nack pli"; a wildcard line is spread over all codecs.
    """

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    parameters: tuple[tuple[str, str], ...] = ()
    feedback: tuple[str, ...] = ()

    def parameter(self, name: str, default: str = "") -> str:
        """The value of an fmtp parameter."""
        return next((value for key, value in self.parameters if key.lower() == name), default)

    def is_named(self, name: str) -> bool:
        """Whether this is the codec of that name; RFC 8866 §6.6: encoding names know no case."""
        return self.name.lower() == name

    @property
    def apt(self) -> int | None:
        """For RTX (RFC 4588 §8.1): the payload type that it repeats."""
        value = self.parameter("apt")
        return int(value) if self.is_named("rtx") and value.isascii() and value.isdigit() and len(value) < 4 else None


@dataclass(frozen=True, slots=True)
class HeaderExtension:
    """An extmap line (RFC 8285 §5). `direction` is None where the line says none: that of the m-line."""

    id: int
    uri: str
    direction: Direction | None = None


@dataclass(frozen=True, slots=True)
class Ssrc:
    """A source and its CNAME, "" where none is given (RFC 5576 §4.1)."""

    ssrc: int
    cname: str = ""


@dataclass(frozen=True, slots=True)
class SsrcGroup:
    """Sources that belong together (RFC 5576 §4.2); FID: a source and its retransmissions."""

    semantics: str
    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Msid:
    """The stream and track that an m-line belongs to (RFC 8830); `track` may be ""."""

    stream: str
    track: str = ""


@dataclass(frozen=True, slots=True)
class Rid:
    """A restriction identifier (RFC 8851): `direction` is "send" or "recv", `restrictions` its unread tail."""

    id: str
    direction: str
    restrictions: str = ""


@dataclass(frozen=True, slots=True)
class Simulcast:
    """RFC 8853 §5.1: streams in order of preference, each a tuple of alternative rids; "~" marks a paused one."""

    send: tuple[tuple[str, ...], ...] = ()
    recv: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """An ICE candidate (RFC 8839 §5.1); `extensions` is everything after the type, unread."""

    foundation: str
    component: int
    protocol: str
    priority: int
    address: str
    port: int
    type: str
    extensions: str = ""


@dataclass(frozen=True, slots=True)
class TransportDescription:
    """ICE credentials and DTLS identity, of the session or of one m-line; None or empty where not stated."""

    ice_ufrag: str | None = None
    ice_password: str | None = field(default=None, repr=False)
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: Setup | None = None

    def over(self, fallback: "TransportDescription") -> "TransportDescription":
        """This description where it says something, `fallback` elsewhere: media level counts before session level."""
        return TransportDescription(
            ice_ufrag=self.ice_ufrag if self.ice_ufrag is not None else fallback.ice_ufrag,
            ice_password=self.ice_password if self.ice_password is not None else fallback.ice_password,
            fingerprints=self.fingerprints or fallback.fingerprints,
            setup=self.setup or fallback.setup,
        )


@dataclass(frozen=True, slots=True)
class MediaSection:
    """One m-line and what belongs to it.

    `formats` is the list on the m-line itself; `codecs` are those of them that have an rtpmap, in the same order.
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    mid: str | None = None
    direction: Direction = Direction.SENDRECV
    is_bundle_only: bool = False
    codecs: tuple[RtpCodec, ...] = ()
    extensions: tuple[HeaderExtension, ...] = ()
    allows_mixed_extensions: bool = False
    msids: tuple[Msid, ...] = ()
    ssrcs: tuple[Ssrc, ...] = ()
    ssrc_groups: tuple[SsrcGroup, ...] = ()
    rids: tuple[Rid, ...] = ()
    simulcast: Simulcast | None = None
    transport: TransportDescription = TransportDescription()
    candidates: tuple[Candidate, ...] = ()
    has_all_candidates: bool = False
    rtcp_mux: bool = False
    rtcp_reduced_size: bool = False

    @property
    def is_rejected(self) -> bool:
        """Whether the m-line is dead: port 0, unless that only means "bundled or not at all" (RFC 9143 §6)."""
        return self.port == 0 and not self.is_bundle_only

    def rtx_of(self, payload_type: int) -> RtpCodec | None:
        """The RTX codec that repeats `payload_type`, if any."""
        return next((codec for codec in self.codecs if codec.apt == payload_type), None)


@dataclass(frozen=True, slots=True)
class Session:
    """A whole description. `bundles` are the mids of each BUNDLE group; a group's first is its tagged m-line."""

    media: tuple[MediaSection, ...]
    session_id: int = 0
    version: int = 0
    bundles: tuple[tuple[str, ...], ...] = ()
    is_ice_lite: bool = False
    ice_options: tuple[str, ...] = ()
    allows_mixed_extensions: bool = False
    transport: TransportDescription = TransportDescription()

    def section(self, mid: str) -> MediaSection | None:
        """The m-line of that mid."""
        return next((section for section in self.media if section.mid == mid), None)

    def transport_of(self, section: MediaSection) -> TransportDescription:
        """The transport that holds for an m-line."""
        return section.transport.over(self.transport)
