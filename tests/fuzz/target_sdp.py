"""SDP from any text: what is read is written as it was read, and both negotiations agree or refuse."""

from contextlib import suppress
from pathlib import Path

from hushroom_common.errors import ProtocolError, WireError
from hushroom_common.ids import Codec, PublicationId, Source
from hushroom_common.signaling import OfferedTrack
from hushroom_sfu.conversation.publisher_negotiation import PublisherNegotiation
from hushroom_sfu.conversation.sdp_reader import read_sdp
from hushroom_sfu.conversation.sdp_writer import write_sdp
from hushroom_sfu.conversation.subscriber_negotiation import SubscriberNegotiation
from hushroom_sfu.conversation.transport import Fingerprint, LocalTransport

__all__ = ["corpus", "fuzz"]

_VECTORS = Path(__file__).parents[1] / "vectors" / "rtp"
_LOCAL = LocalTransport("abcd", "p" * 24, Fingerprint("sha-256", ":".join(["AB"] * 32)), (("192.0.2.1", 7000),))
_TRACKS = (
    OfferedTrack("0", PublicationId("mic"), Source.MICROPHONE, Codec.OPUS, "lk1"),
    OfferedTrack("1", PublicationId("cam"), Source.CAMERA, Codec.VP8, "lk1"),
)
_ANSWER = (
    "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\n"
    "a=ice-ufrag:abcd\r\na=ice-pwd:pppppppppppppppppppppppp\r\na=setup:active\r\n"
    f"a=fingerprint:sha-256 {_LOCAL.fingerprint.value}\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
    "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n"
    "a=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
)


def corpus() -> list[bytes]:
    """Browsers' offers, and an answer to the server's own."""
    names = ("chromium-vp8-simulcast", "chromium-h264", "firefox-vp8")
    return [_ANSWER.encode(), *((_VECTORS / f"{name}.offer.sdp").read_bytes() for name in names)]


def fuzz(data: bytes) -> None:
    """Read, write, answer as an offer, accept as an answer."""
    text = data.decode("utf-8", "replace")
    try:
        session = read_sdp(text)
    except WireError:
        pass
    else:
        assert read_sdp(write_sdp(session)) == session
    for tracks in (_TRACKS, _TRACKS[:1], ()):
        with suppress(WireError, ProtocolError):
            publisher = PublisherNegotiation(_LOCAL)
            agreement = publisher.answer(text, tracks)
            read_sdp(agreement.answer_sdp)
            publisher.answer(text, tracks)
    subscriber = SubscriberNegotiation(_LOCAL, entropy=bytes)
    subscriber.add_seat()
    number, _ = subscriber.offer()
    with suppress(WireError, ProtocolError):
        subscriber.accept(number, text)
