"""libsrtp called through pylibsrtp's binding with one buffer for all: half the time of the public wrapper a packet.

A session must outlive the functions made from it: that is the caller's duty, for they hold its bare context.
This is the only file that knows pylibsrtp's private names; `tests/plane/test_aiortc_contract.py` holds each of them.
"""

from collections.abc import Callable
from typing import Final

import pylibsrtp
from pylibsrtp._binding import ffi, lib

__all__ = ["MAX_PACKET_BYTES", "protector", "rtcp_protector", "rtcp_unprotector", "unprotector"]

MAX_PACKET_BYTES: Final = 1500
"""Neither a plain packet nor a protected one that comes in may be longer; so whatever came in can go out again."""

_TRAILER_BYTES: Final = 148
"""By how much libsrtp may lengthen a packet: tag, MKI and SRTCP's index."""

_Transform = Callable[[bytes], bytes]

# One thread uses them, between two bytecodes of one function.
_buffer = ffi.new("char[]", MAX_PACKET_BYTES + _TRAILER_BYTES)
_view = ffi.buffer(_buffer)
_size = ffi.new("int *")


def protector(session: pylibsrtp.Session) -> _Transform:
    """Protects RTP. The result raises ValueError for a packet that is too long and pylibsrtp.Error as libsrtp says."""
    return _transform(session, lib.srtp_protect)


def rtcp_protector(session: pylibsrtp.Session) -> _Transform:
    """Protects RTCP, as `protector`."""
    return _transform(session, lib.srtp_protect_rtcp)


def unprotector(session: pylibsrtp.Session) -> _Transform:
    """Unprotects RTP, as `protector`."""
    return _transform(session, lib.srtp_unprotect)


def rtcp_unprotector(session: pylibsrtp.Session) -> _Transform:
    """Unprotects RTCP, as `protector`."""
    return _transform(session, lib.srtp_unprotect_rtcp)


def _transform(session: pylibsrtp.Session, function: Callable[..., int]) -> _Transform:
    context = session._srtp[0]

    def transform(packet: bytes) -> bytes:
        size = len(packet)
        if size > MAX_PACKET_BYTES:
            raise ValueError("packet is too long")
        _view[0:size] = packet
        _size[0] = size
        status = function(context, _buffer, _size)
        if status:
            raise pylibsrtp.Error(pylibsrtp.ERRORS[status])
        return bytes(_view[0 : _size[0]])

    return transform
