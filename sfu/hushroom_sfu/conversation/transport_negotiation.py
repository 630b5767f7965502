"""The transport half of offers and answers: one BUNDLE, the server's end as ICE-lite, the client's end as it states it.

What cannot work is refused with a ProtocolError that says what would.
"""

from collections.abc import Iterable

from hushroom_common.errors import ProtocolError
from hushroom_common.signaling.messages import CloseCode
from hushroom_sfu.conversation.sdp import Candidate, MediaSection, Session, Setup, TransportDescription
from hushroom_sfu.conversation.transport import Fingerprint, LocalTransport, RemoteTransport

__all__ = ["local_candidates", "local_description", "read_remote_transport", "refusal"]

_DIGEST_SIZES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}  # RFC 8122 §5, without what is broken


def refusal(message: str) -> ProtocolError:
    """The error for a description that can be read but not used."""
    return ProtocolError(CloseCode.PROTOCOL_ERROR, message)


def local_description(local: LocalTransport, setup: Setup) -> TransportDescription:
    """The server's end. Written once, at session level: it holds for all m-lines, which share one transport."""
    return TransportDescription(local.ice_ufrag, local.ice_password, (local.fingerprint,), setup)


def local_candidates(local: LocalTransport) -> tuple[Candidate, ...]:
    """The server's addresses as host candidates (RFC 8445 §5.1.2.1: the priority falls with the place in the list)."""
    return tuple(
        Candidate(
            foundation=str(index + 1),
            component=1,
            protocol="udp",
            priority=(126 << 24) + ((65_535 - index) << 8) + 255,
            address=address,
            port=port,
            type="host",
        )
        for index, (address, port) in enumerate(local.candidates)
    )


def read_remote_transport(
    session: Session, live: Iterable[MediaSection], setups: frozenset[Setup], before: RemoteTransport | None
) -> RemoteTransport:
    """The client's end, from a description whose `live` m-lines are those in use.

    `setups` are the DTLS roles that leave the server passive. `before` is what the leg already runs on: its certificate
    cannot change, its ICE credentials can (an ICE restart). Raises ProtocolError.
    """
    sections = list(live)
    if not sections:
        raise refusal("no m-line is in use: offer at least one")
    if len(session.bundles) != 1 or {section.mid for section in sections} - {*session.bundles[0]}:
        raise refusal("all m-lines must share one BUNDLE group")
    if not all(section.rtcp_mux for section in sections):
        raise refusal("every m-line needs a=rtcp-mux")
    # RFC 9143 §7.1: the tagged m-line, the group's first, speaks for all.
    tagged = min(sections, key=lambda section: session.bundles[0].index(section.mid or ""))
    stated = session.transport_of(tagged)
    if stated.ice_ufrag is None or stated.ice_password is None:
        raise refusal("a=ice-ufrag and a=ice-pwd are missing")
    # RFC 4145 §4: an offer that says nothing means active.
    if (stated.setup or Setup.ACTIVE) not in setups:
        raise refusal(f"the server is always the DTLS server: a=setup must be {' or '.join(sorted(setups))}")
    fingerprints = tuple(filter(_is_usable, stated.fingerprints))
    if not fingerprints:
        raise refusal("a=fingerprint is missing: sha-256, sha-384 or sha-512 would do")
    if before is not None and before.fingerprints != fingerprints:
        raise refusal("the certificate of a connected leg cannot change: start a new one")
    return RemoteTransport(stated.ice_ufrag, stated.ice_password, fingerprints)


def _is_usable(fingerprint: Fingerprint) -> bool:
    return len(fingerprint.value) == 3 * _DIGEST_SIZES.get(fingerprint.algorithm, 0) - 1
