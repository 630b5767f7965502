"""Why a datagram went no further, counted by reason. A reason names no peer."""

from collections import Counter
from enum import StrEnum

__all__ = ["Drop", "Drops"]


class Drop(StrEnum):
    """What was wrong with a datagram that came in or could not go out."""

    # the socket
    EMPTY = "empty"
    OVERSIZE = "oversize"
    SEND_BLOCKED = "send_blocked"
    SEND_FAILED = "send_failed"
    NO_CONSENT = "no_consent"
    INTERNAL_ERROR = "internal_error"
    # demultiplexing
    UNKNOWN_PROTOCOL = "unknown_protocol"
    UNKNOWN_SOURCE = "unknown_source"
    # ICE
    STUN_UNREADABLE = "stun_unreadable"
    STUN_UNKNOWN_USER = "stun_unknown_user"
    STUN_BAD_INTEGRITY = "stun_bad_integrity"
    STUN_ROLE_CONFLICT = "stun_role_conflict"
    STUN_SOURCE_TAKEN = "stun_source_taken"
    # DTLS
    DTLS_QUEUE_FULL = "dtls_queue_full"
    # SRTP
    MEDIA_BEFORE_KEYS = "media_before_keys"
    SRTP_TOO_SHORT = "srtp_too_short"
    SRTP_TOO_LONG = "srtp_too_long"
    SRTP_TOO_MANY_SSRCS = "srtp_too_many_ssrcs"
    SRTP_UNAUTHENTIC = "srtp_unauthentic"
    SRTP_REPLAYED = "srtp_replayed"
    SRTP_REFUSED = "srtp_refused"
    PROTECT_TOO_LONG = "protect_too_long"
    PROTECT_REFUSED = "protect_refused"


Drops = Counter[Drop]
"""How many datagrams were dropped, by reason; one table is shared by a whole plane."""
