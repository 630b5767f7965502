"""From the model of an offer or answer (`sdp`) to its text. What the model says is written, in one fixed order."""

from collections.abc import Iterator

from hushroom_sfu.conversation.sdp import (
    Candidate,
    MediaSection,
    RtpCodec,
    Session,
    Simulcast,
    TransportDescription,
)

__all__ = ["write_sdp"]


def write_sdp(session: Session) -> str:
    """The description's text, every line ended by CRLF."""
    lines = [*_session_lines(session), *(line for section in session.media for line in _media_lines(section))]
    return "\r\n".join(lines) + "\r\n"


def _session_lines(session: Session) -> Iterator[str]:
    yield "v=0"
    yield f"o=- {session.session_id} {session.version} IN IP4 0.0.0.0"
    yield "s=-"
    yield "t=0 0"
    if session.is_ice_lite:
        yield "a=ice-lite"
    for mids in session.bundles:
        yield " ".join(("a=group:BUNDLE", *mids))
    yield "a=msid-semantic:WMS *"
    if session.ice_options:
        yield f"a=ice-options:{' '.join(session.ice_options)}"
    if session.allows_mixed_extensions:
        yield "a=extmap-allow-mixed"
    yield from _transport_lines(session.transport)


def _media_lines(section: MediaSection) -> Iterator[str]:
    yield f"m={section.kind} {section.port} {section.protocol} {' '.join(section.formats)}"
    yield _connection_line(section.candidates)
    if section.mid is not None:
        yield f"a=mid:{section.mid}"
    yield f"a={section.direction}"
    if section.is_bundle_only:
        yield "a=bundle-only"
    yield from _transport_lines(section.transport)
    if section.rtcp_mux:
        yield "a=rtcp-mux"
    if section.rtcp_reduced_size:
        yield "a=rtcp-rsize"
    for codec in section.codecs:
        yield from _codec_lines(codec)
    if section.allows_mixed_extensions:
        yield "a=extmap-allow-mixed"
    for extension in section.extensions:
        direction = f"/{extension.direction}" if extension.direction else ""
        yield f"a=extmap:{extension.id}{direction} {extension.uri}"
    yield from _source_lines(section)
    for candidate in section.candidates:
        yield _candidate_line(candidate)
    if section.has_all_candidates:
        yield "a=end-of-candidates"


def _connection_line(candidates: tuple[Candidate, ...]) -> str:
    """The default destination (RFC 8839 §4.2.1.2): the first candidate, or an address that means none."""
    address = candidates[0].address if candidates else "0.0.0.0"  # noqa: S104 (nothing is bound here)
    return f"c=IN IP6 {address}" if ":" in address else f"c=IN IP4 {address}"


def _transport_lines(transport: TransportDescription) -> Iterator[str]:
    if transport.ice_ufrag is not None:
        yield f"a=ice-ufrag:{transport.ice_ufrag}"
    if transport.ice_password is not None:
        yield f"a=ice-pwd:{transport.ice_password}"
    for fingerprint in transport.fingerprints:
        yield f"a=fingerprint:{fingerprint.algorithm} {fingerprint.value}"
    if transport.setup is not None:
        yield f"a=setup:{transport.setup}"


def _codec_lines(codec: RtpCodec) -> Iterator[str]:
    channels = f"/{codec.channels}" if codec.channels != 1 else ""
    yield f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}"
    for feedback in codec.feedback:
        yield f"a=rtcp-fb:{codec.payload_type} {feedback}"
    if codec.parameters:
        parameters = ";".join(f"{key}={value}" if value else key for key, value in codec.parameters)
        yield f"a=fmtp:{codec.payload_type} {parameters}"


def _source_lines(section: MediaSection) -> Iterator[str]:
    for rid in section.rids:
        yield f"a=rid:{rid.id} {rid.direction} {rid.restrictions}".rstrip()
    if section.simulcast is not None:
        yield f"a=simulcast:{_simulcast(section.simulcast)}"
    for msid in section.msids:
        yield f"a=msid:{msid.stream} {msid.track}".rstrip()
    for group in section.ssrc_groups:
        yield f"a=ssrc-group:{group.semantics} {' '.join(map(str, group.ssrcs))}"
    for source in section.ssrcs:
        yield f"a=ssrc:{source.ssrc} cname:{source.cname}" if source.cname else f"a=ssrc:{source.ssrc}"


def _simulcast(simulcast: Simulcast) -> str:
    sides = (("send", simulcast.send), ("recv", simulcast.recv))
    return " ".join(f"{side} {';'.join(map(','.join, streams))}" for side, streams in sides if streams)


def _candidate_line(candidate: Candidate) -> str:
    return (
        f"a=candidate:{candidate.foundation} {candidate.component} {candidate.protocol} {candidate.priority} "
        f"{candidate.address} {candidate.port} typ {candidate.type} {candidate.extensions}"
    ).rstrip()
