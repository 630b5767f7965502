"""The values of single SDP attributes: text in, parts of the model out.

Each function reads one kind of line and raises WireError when it is malformed. Error texts name the kind of line, never
its content.
"""

import re

from hushroom_common.errors import WireError
from hushroom_sfu.conversation.sdp import (
    Candidate,
    Direction,
    HeaderExtension,
    Msid,
    Rid,
    RtpCodec,
    Setup,
    Simulcast,
    SsrcGroup,
)
from hushroom_sfu.conversation.transport import Fingerprint

__all__ = [
    "TOKEN",
    "matched",
    "read_candidate",
    "read_extension",
    "read_fingerprint",
    "read_group",
    "read_ice_password",
    "read_ice_ufrag",
    "read_mid",
    "read_msid",
    "read_number",
    "read_parameters",
    "read_rid",
    "read_rtpmap",
    "read_setup",
    "read_simulcast",
    "read_ssrc",
    "read_ssrc_group",
    "read_words",
]

TOKEN = r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]"  # noqa: S105 (RFC 8866 §9: a rule of the grammar, not a password)
_WORD = r"[!-~]"
_RID_ID = r"[A-Za-z0-9_-]{1,64}"
_ALTERNATIVES = rf"~?{_RID_ID}(?:,~?{_RID_ID})*"

_NUMBER = re.compile("[0-9]{1,20}")
_MID = re.compile(f"{TOKEN}{{1,16}}")
_RTPMAP = re.compile(rf"([0-9]{{1,3}}) ({TOKEN}{{1,32}})/([0-9]{{1,10}})(?:/([0-9]{{1,3}}))?")
_EXTMAP = re.compile(rf"([0-9]{{1,5}})(?:/([a-z]+))? ({_WORD}{{1,255}})(?: .*)?")
_SSRC = re.compile(r"([0-9]{1,10})(?: ([A-Za-z0-9-]{1,32})(?::(.*))?)?")
_MSID = re.compile(rf"({_WORD}{{1,64}})(?: ({_WORD}{{1,64}}))?(?: .*)?")
_RID = re.compile(rf"({_RID_ID}) (send|recv)(?: ({_WORD}*))?")
_SIMULCAST = re.compile(rf"(send|recv) ({_ALTERNATIVES}(?:;{_ALTERNATIVES})*)(?: (send|recv) ([^ ]+))?")
_STREAMS = re.compile(rf"{_ALTERNATIVES}(?:;{_ALTERNATIVES})*")
_ICE_UFRAG = re.compile("[A-Za-z0-9+/]{4,256}")
_ICE_PASSWORD = re.compile("[A-Za-z0-9+/]{22,256}")
_FINGERPRINT = re.compile("([A-Za-z0-9-]{1,16}) ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){0,127})")
_CANDIDATE = re.compile(
    rf"({_WORD}{{1,32}}) ([0-9]{{1,3}}) ({TOKEN}{{1,16}}) ([0-9]{{1,10}}) ({_WORD}{{1,255}}) ([0-9]{{1,5}})"
    rf" typ ({TOKEN}{{1,16}})(?: ([ -~]*))?"
)


def matched(pattern: re.Pattern[str], value: str, what: str) -> re.Match[str]:
    """The whole value as `pattern` reads it."""
    match = pattern.fullmatch(value)
    if match is None:
        raise WireError(f"malformed {what}")
    return match


def read_number(value: str, maximum: int, what: str) -> int:
    """A decimal number from 0 to `maximum`."""
    number = int(matched(_NUMBER, value, what)[0])
    if number > maximum:
        raise WireError(f"{what} over {maximum}")
    return number


def read_words(value: str) -> tuple[str, ...]:
    """What stands between spaces."""
    return tuple(word for word in value.split(" ") if word)


def read_mid(value: str) -> str:
    """RFC 5888 §4: a token. At most 16 characters, so that it fits a header extension of one-byte form."""
    return matched(_MID, value, "mid")[0]


def read_group(value: str) -> tuple[str, tuple[str, ...]]:
    """RFC 5888 §5: what the group means, and its mids."""
    semantics, *mids = read_words(value) or ("",)
    return semantics, tuple(map(read_mid, mids))


def read_rtpmap(value: str) -> tuple[str, RtpCodec]:
    """RFC 8866 §6.6: the m-line's format it is for, and the codec still without parameters."""
    match = matched(_RTPMAP, value, "rtpmap")
    payload_type = read_number(match[1], 127, "payload type")
    codec = RtpCodec(
        payload_type=payload_type,
        name=match[2],
        clock_rate=read_number(match[3], 2**32 - 1, "clock rate"),
        channels=read_number(match[4] or "1", 255, "channels"),
    )
    return str(payload_type), codec


def read_parameters(value: str) -> tuple[tuple[str, str], ...]:
    """RFC 8866 §6.15, after the format: `key=value` pairs and bare words between semicolons."""
    pairs = (part.strip(" ").partition("=") for part in value.split(";"))
    return tuple((key.rstrip(" "), text.lstrip(" ")) for key, _, text in pairs if key.strip(" "))


def read_extension(value: str) -> HeaderExtension | None:
    """RFC 8285 §5. None for ids over 255: they only ask for one that can go on the wire."""
    match = matched(_EXTMAP, value, "extmap")
    number = read_number(match[1], 99_999, "extmap id")
    if not number:
        raise WireError("malformed extmap")
    if match[2] is not None and match[2] not in set(Direction):
        raise WireError("malformed extmap")
    return HeaderExtension(number, match[3], Direction(match[2]) if match[2] else None) if number < 256 else None


def read_ssrc(value: str) -> tuple[int, str | None]:
    """RFC 5576 §4.1: the source, and its CNAME if the line is about that."""
    match = matched(_SSRC, value, "ssrc")
    cname = match[3].strip(" ") if match[2] == "cname" and match[3] else None
    return read_number(match[1], 2**32 - 1, "ssrc"), cname


def read_ssrc_group(value: str) -> SsrcGroup:
    """RFC 5576 §4.2."""
    words = read_words(value)
    if len(words) < 2 or not re.fullmatch(f"{TOKEN}{{1,16}}", words[0]):
        raise WireError("malformed ssrc-group")
    return SsrcGroup(words[0], tuple(read_number(word, 2**32 - 1, "ssrc") for word in words[1:]))


def read_msid(value: str) -> Msid:
    """RFC 8830 §2."""
    match = matched(_MSID, value, "msid")
    return Msid(match[1], match[2] or "")


def read_rid(value: str) -> Rid:
    """RFC 8851 §10."""
    match = matched(_RID, value, "rid")
    return Rid(match[1], match[2], match[3] or "")


def read_simulcast(value: str) -> Simulcast:
    """RFC 8853 §5.1: `send` and `recv` at most once each, in either order."""
    match = matched(_SIMULCAST, value, "simulcast")
    streams = {match[1]: match[2]}
    if match[3]:
        if match[3] in streams:
            raise WireError("malformed simulcast")
        streams[match[3]] = matched(_STREAMS, match[4], "simulcast")[0]
    sides = {side: tuple(tuple(stream.split(",")) for stream in listed.split(";")) for side, listed in streams.items()}
    return Simulcast(send=sides.get("send", ()), recv=sides.get("recv", ()))


def read_candidate(value: str) -> Candidate:
    """RFC 8839 §5.1. The address may be a host name, mDNS names among them."""
    match = matched(_CANDIDATE, value, "candidate")
    return Candidate(
        foundation=match[1],
        component=read_number(match[2], 256, "candidate component"),
        protocol=match[3].lower(),
        priority=read_number(match[4], 2**32 - 1, "candidate priority"),
        address=match[5],
        port=read_number(match[6], 65_535, "candidate port"),
        type=match[7],
        extensions=" ".join(read_words(match[8] or "")),
    )


def read_ice_ufrag(value: str) -> str:
    """RFC 8839 §5.4: 4 to 256 ice-chars."""
    return matched(_ICE_UFRAG, value, "ice-ufrag")[0]


def read_ice_password(value: str) -> str:
    """RFC 8839 §5.4: 22 to 256 ice-chars."""
    return matched(_ICE_PASSWORD, value, "ice-pwd")[0]


def read_fingerprint(value: str) -> Fingerprint:
    """RFC 8122 §5; case is settled here so that values can be compared."""
    match = matched(_FINGERPRINT, value, "fingerprint")
    return Fingerprint(match[1].lower(), match[2].upper())


def read_setup(value: str) -> Setup:
    """RFC 4145 §4."""
    if value not in set(Setup):
        raise WireError("malformed setup")
    return Setup(value)
