"""From the text of an offer or answer to the model of it (`sdp`): which line belongs where, and what contradicts.

Unknown lines and attributes are passed over. A known one that is malformed, contradicts another or breaks a bound
raises WireError, and nothing else is ever raised.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hushroom_common.errors import WireError
from hushroom_sfu.conversation import sdp_values as values
from hushroom_sfu.conversation.sdp import (
    Candidate,
    Direction,
    HeaderExtension,
    MediaSection,
    Msid,
    Rid,
    RtpCodec,
    Session,
    Setup,
    Simulcast,
    Ssrc,
    SsrcGroup,
    TransportDescription,
)
from hushroom_sfu.conversation.transport import Fingerprint

__all__ = ["MAX_CHARS", "MAX_LINES", "MAX_SECTIONS", "read_sdp"]

MAX_CHARS = 262_144
MAX_LINES = 8_192
MAX_SECTIONS = 256

_MAX_FEEDBACK = 32
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_ORIGIN = re.compile("[^ ]+ ([0-9]{1,20}) ([0-9]{1,20}) .+")
_MEDIA = re.compile(rf"({values.TOKEN}{{1,16}}) ([0-9]{{1,5}})(?:/[0-9]+)? ([!-~]{{1,32}}) ([ -~]*[!-~])")
_MEDIA_FLAGS = frozenset({"bundle-only", "end-of-candidates", "extmap-allow-mixed", "rtcp-mux", "rtcp-rsize"})


def read_sdp(text: str) -> Session:
    """Read a session description. Raises WireError."""
    if len(text) > MAX_CHARS:
        raise WireError(f"SDP of more than {MAX_CHARS} characters")
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > MAX_LINES:
        raise WireError(f"SDP of more than {MAX_LINES} lines")
    if lines[0] != "v=0":
        raise WireError("SDP starts with v=0")
    session = _SessionDraft()
    for line in lines[1:]:
        if _UNPRINTABLE.search(line):
            raise WireError("SDP with a control character")
        kind, _, value = line.partition("=")
        if kind == "m":
            session.begin_section(value)
        elif kind == "o":
            session.read_origin(value)
        elif kind == "a":
            name, _, argument = value.partition(":")
            (session.sections[-1] if session.sections else session).read_attribute(name, argument.strip(" "))
    return session.finish()


@dataclass(slots=True)
class _TransportDraft:
    """Credentials and DTLS identity while lines come in, at either level."""

    ice_ufrag: str | None = None
    ice_password: str | None = None
    fingerprints: dict[Fingerprint, None] = field(default_factory=dict)
    setup: Setup | None = None

    def read_attribute(self, name: str, value: str) -> None:
        match name:
            case "ice-ufrag":
                self.ice_ufrag = values.read_ice_ufrag(value)
            case "ice-pwd":
                self.ice_password = values.read_ice_password(value)
            case "fingerprint":
                self.fingerprints[values.read_fingerprint(value)] = None
            case "setup":
                self.setup = values.read_setup(value)

    def finish(self) -> TransportDescription:
        return TransportDescription(self.ice_ufrag, self.ice_password, tuple(self.fingerprints), self.setup)


@dataclass(slots=True)
class _MediaDraft:
    """An m-line while its attributes come in. What refers to a format is brought together in `finish`."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    direction: Direction
    mid: str | None = None
    flags: set[str] = field(default_factory=set)
    rtpmaps: dict[str, RtpCodec] = field(default_factory=dict)
    parameters: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    feedback: dict[str, dict[str, None]] = field(default_factory=dict)
    extensions: dict[int, HeaderExtension] = field(default_factory=dict)
    ssrcs: dict[int, str] = field(default_factory=dict)
    ssrc_groups: list[SsrcGroup] = field(default_factory=list)
    msids: dict[Msid, None] = field(default_factory=dict)
    rids: dict[str, Rid] = field(default_factory=dict)
    simulcast: Simulcast | None = None
    candidates: list[Candidate] = field(default_factory=list)
    transport: _TransportDraft = field(default_factory=_TransportDraft)

    def read_attribute(self, name: str, value: str) -> None:
        reader = _MEDIA_ATTRIBUTES.get(name)
        if reader is not None:
            reader(self, value)
        elif name in set(Direction):
            self.direction = Direction(name)
        elif name in _MEDIA_FLAGS:
            self.flags.add(name)
        else:
            self.transport.read_attribute(name, value)

    def read_mid(self, value: str) -> None:
        if self.mid is not None:
            raise WireError("an m-line with two mids")
        self.mid = values.read_mid(value)

    def read_rtpmap(self, value: str) -> None:
        name, codec = values.read_rtpmap(value)
        if name in self.rtpmaps:
            raise WireError("a payload type with two rtpmaps")
        self.rtpmaps[name] = codec

    def read_fmtp(self, value: str) -> None:
        name, _, parameters = value.partition(" ")
        self.parameters[name] = values.read_parameters(parameters)

    def read_feedback(self, value: str) -> None:
        name, *what = values.read_words(value) or ("",)
        if what:
            feedback = self.feedback.setdefault(name, {})
            feedback[" ".join(what)] = None
            if len(feedback) > _MAX_FEEDBACK:  # a line for all codecs is copied to each
                raise WireError(f"more than {_MAX_FEEDBACK} rtcp-fb lines for one format")

    def read_extension(self, value: str) -> None:
        extension = values.read_extension(value)
        if extension is not None and self.extensions.setdefault(extension.id, extension) != extension:
            raise WireError("an extmap id with two meanings")  # RFC 8285 §5: unique within an m-line

    def read_ssrc(self, value: str) -> None:
        ssrc, cname = values.read_ssrc(value)
        self.ssrcs[ssrc] = cname or self.ssrcs.get(ssrc, "")

    def read_rid(self, value: str) -> None:
        rid = values.read_rid(value)
        if self.rids.setdefault(rid.id, rid) != rid:
            raise WireError("a rid with two meanings")

    def read_simulcast(self, value: str) -> None:
        self.simulcast = values.read_simulcast(value)

    def finish(self) -> MediaSection:
        return MediaSection(
            kind=self.kind,
            port=self.port,
            protocol=self.protocol,
            formats=self.formats,
            mid=self.mid,
            direction=self.direction,
            is_bundle_only="bundle-only" in self.flags,
            codecs=tuple(self._finish_codec(name) for name in self.formats if name in self.rtpmaps),
            extensions=tuple(self.extensions.values()),
            allows_mixed_extensions="extmap-allow-mixed" in self.flags,
            msids=tuple(self.msids),
            ssrcs=tuple(Ssrc(ssrc, cname) for ssrc, cname in self.ssrcs.items()),
            ssrc_groups=tuple(self.ssrc_groups),
            rids=tuple(self.rids.values()),
            simulcast=self.simulcast,
            transport=self.transport.finish(),
            candidates=tuple(self.candidates),
            has_all_candidates="end-of-candidates" in self.flags,
            rtcp_mux="rtcp-mux" in self.flags,
            rtcp_reduced_size="rtcp-rsize" in self.flags,
        )

    def _finish_codec(self, name: str) -> RtpCodec:
        feedback = self.feedback.get(name, {}) | self.feedback.get("*", {})
        return replace(self.rtpmaps[name], parameters=self.parameters.get(name, ()), feedback=tuple(feedback))


_MEDIA_ATTRIBUTES: dict[str, Callable[[_MediaDraft, str], None]] = {
    "mid": _MediaDraft.read_mid,
    "rtpmap": _MediaDraft.read_rtpmap,
    "fmtp": _MediaDraft.read_fmtp,
    "rtcp-fb": _MediaDraft.read_feedback,
    "extmap": _MediaDraft.read_extension,
    "ssrc": _MediaDraft.read_ssrc,
    "ssrc-group": lambda draft, value: draft.ssrc_groups.append(values.read_ssrc_group(value)),
    "msid": lambda draft, value: draft.msids.update({values.read_msid(value): None}),
    "rid": _MediaDraft.read_rid,
    "simulcast": _MediaDraft.read_simulcast,
    "candidate": lambda draft, value: draft.candidates.append(values.read_candidate(value)),
}


@dataclass(slots=True)
class _SessionDraft:
    """The session level, and the m-lines so far."""

    sections: list[_MediaDraft] = field(default_factory=list)
    session_id: int = 0
    version: int = 0
    bundles: list[tuple[str, ...]] = field(default_factory=list)
    ice_options: tuple[str, ...] = ()
    flags: set[str] = field(default_factory=set)
    direction: Direction = Direction.SENDRECV  # RFC 8866 §6.7: what holds where nothing is said
    transport: _TransportDraft = field(default_factory=_TransportDraft)

    def read_origin(self, value: str) -> None:
        match = values.matched(_ORIGIN, value, "origin")
        self.session_id = values.read_number(match[1], 2**64 - 1, "session id")
        self.version = values.read_number(match[2], 2**64 - 1, "session version")

    def begin_section(self, value: str) -> None:
        if len(self.sections) == MAX_SECTIONS:
            raise WireError(f"SDP of more than {MAX_SECTIONS} m-lines")
        match = values.matched(_MEDIA, value, "m-line")
        formats = values.read_words(match[4])
        if "RTP/" in match[3]:
            formats = tuple(str(values.read_number(name, 127, "payload type")) for name in formats)
        if len(set(formats)) != len(formats):
            raise WireError("an m-line with a format twice")
        port = values.read_number(match[2], 65_535, "port")
        self.sections.append(_MediaDraft(match[1], port, match[3], formats, self.direction))

    def read_attribute(self, name: str, value: str) -> None:
        if name == "group":
            semantics, mids = values.read_group(value)
            if semantics == "BUNDLE":
                self.bundles.append(mids)
        elif name == "ice-options":
            self.ice_options = values.read_words(value)
        elif name in set(Direction):
            self.direction = Direction(name)
        elif name in ("ice-lite", "extmap-allow-mixed"):
            self.flags.add(name)
        else:
            self.transport.read_attribute(name, value)

    def finish(self) -> Session:
        media = tuple(draft.finish() for draft in self.sections)
        mids = [section.mid for section in media if section.mid is not None]
        bundled = [mid for bundle in self.bundles for mid in bundle]
        if len(set(mids)) != len(mids):
            raise WireError("two m-lines with one mid")
        if len(set(bundled)) != len(bundled) or not set(bundled) <= set(mids):
            raise WireError("a BUNDLE group that names an m-line twice, or none")
        return Session(
            media=media,
            session_id=self.session_id,
            version=self.version,
            bundles=tuple(self.bundles),
            is_ice_lite="ice-lite" in self.flags,
            ice_options=self.ice_options,
            allows_mixed_extensions="extmap-allow-mixed" in self.flags,
            transport=self.transport.finish(),
        )
