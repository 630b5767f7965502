"""The two ends of a leg's transport, as SDP states them: ICE credentials, certificate fingerprints, addresses."""

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Fingerprint", "LocalTransport", "RemoteTransport"]


class Fingerprint(NamedTuple):
    """A certificate's hash (RFC 8122 §5): the hash function in lower case, the value as upper-case hex pairs."""

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """The server's end. `candidates` are (address, UDP port) pairs, best first; at least one."""

    ice_ufrag: str
    ice_password: str = field(repr=False)
    fingerprint: Fingerprint
    candidates: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class RemoteTransport:
    """The client's end: whom to let in. One of `fingerprints` must match the certificate that he shows in DTLS."""

    ice_ufrag: str
    ice_password: str = field(repr=False)
    fingerprints: tuple[Fingerprint, ...]
