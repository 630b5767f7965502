"""How a WebSocket is closed: RFC 6455 §7.4.2 leaves 4000 to 4999 to us. The reason is the code's word.

The numbers resemble HTTP's, so that they can be guessed. Clients go by the word.
"""

from collections.abc import Mapping

from hushroom_common.signaling import CloseCode

__all__ = ["INTERNAL_ERROR", "NORMAL_CLOSURE", "WEBSOCKET_CODES"]

NORMAL_CLOSURE = 1000
INTERNAL_ERROR = 1011

WEBSOCKET_CODES: Mapping[CloseCode, int] = {
    CloseCode.PROTOCOL_ERROR: 4400,
    CloseCode.BAD_TOKEN: 4401,
    CloseCode.TOKEN_EXPIRED: 4402,
    CloseCode.NOT_ALLOWED: 4403,
    CloseCode.NO_SUCH_PUBLICATION: 4404,
    CloseCode.JOINED_ELSEWHERE: 4409,
    CloseCode.NOT_RESUMABLE: 4410,
    CloseCode.MESSAGE_TOO_BIG: 4413,
    CloseCode.CODEC_NOT_SUPPORTED: 4415,
    CloseCode.TOO_MANY_TRACKS: 4422,
    CloseCode.NO_FREE_SLOT: 4423,
    CloseCode.UNSUPPORTED_VERSION: 4426,
    CloseCode.RATE_LIMITED: 4429,
    CloseCode.ROOM_FULL: 4430,
    CloseCode.SERVER_BUSY: 4503,
    CloseCode.SERVER_DRAINING: 4504,
}
