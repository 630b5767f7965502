"""SDP as small clients write it: just enough for a server to answer, and for it to be answered."""

import re
from collections.abc import Sequence

from hushroom_common.ids import Codec, Kind
from hushroom_common.signaling.messages import OfferedTrack

__all__ = ["publisher_offer", "subscriber_answer"]

_RTPMAPS = {
    Codec.OPUS: "a=rtpmap:{0} opus/48000/2",
    Codec.VP8: "a=rtpmap:{0} VP8/90000",
    Codec.VP9: "a=rtpmap:{0} VP9/90000",
    Codec.AV1: "a=rtpmap:{0} AV1/90000",
    Codec.H264: "a=rtpmap:{0} H264/90000\r\na=fmtp:{0} packetization-mode=1;profile-level-id=42e01f",
}


def _session(mids: list[str], fingerprint: str, setup: str, ufrag: str = "clnt") -> list[str]:
    return [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(mids)}",
        f"a=ice-ufrag:{ufrag}",
        "a=ice-pwd:" + "x" * 24,
        f"a=fingerprint:sha-256 {fingerprint}",
        f"a=setup:{setup}",
    ]


def publisher_offer(m_lines: Sequence[OfferedTrack | Kind], fingerprint: str, ufrag: str = "clnt") -> str:
    """An offer with one m-line a track, by their places; a bare kind is an m-line that is not in use."""
    lines = _session([str(mid) for mid in range(len(m_lines))], fingerprint, "actpass", ufrag)
    for mid, line in enumerate(m_lines):
        is_track = isinstance(line, OfferedTrack)
        codec = line.codec if isinstance(line, OfferedTrack) else Codec.OPUS if line is Kind.AUDIO else Codec.VP8
        lines += [
            f"m={codec.kind} 9 UDP/TLS/RTP/SAVPF 96",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{mid}",
            "a=sendonly" if is_track else "a=inactive",
            "a=rtcp-mux",
            _RTPMAPS[codec].format(96),
            f"a=ssrc:{1000 + mid} cname:client",
        ]
    return "\r\n".join([*lines, ""])


def subscriber_answer(offer: str, fingerprint: str, video_codecs: tuple[Codec, ...]) -> str:
    """Accept every m-line of the server's offer with the codecs wanted; video without any is rejected."""
    sections = re.split(r"(?m)^(?=m=)", offer.replace("\r\n", "\n"))[1:]
    mids = [mid for section in sections for mid in re.findall(r"(?m)^a=mid:(\S+)", section)]
    answered: list[str] = []
    live: list[str] = []
    for mid, section in zip(mids, sections, strict=True):
        kind = "audio" if section.startswith("m=audio") else "video"
        wanted = {"opus"} if kind == "audio" else {str(codec) for codec in video_codecs}
        payload_types = [
            number for number, name in re.findall(r"(?m)^a=rtpmap:(\d+) ([^/]+)", section) if name.lower() in wanted
        ]
        if not payload_types:
            answered += [f"m={kind} 0 UDP/TLS/RTP/SAVPF 0", "c=IN IP4 0.0.0.0", f"a=mid:{mid}"]
            continue
        live.append(mid)
        answered += [
            f"m={kind} 9 UDP/TLS/RTP/SAVPF {' '.join(payload_types)}",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{mid}",
            "a=recvonly",
            "a=rtcp-mux",
        ]
        answered += [
            line
            for line in section.splitlines()
            if re.match(rf"a=(rtpmap|fmtp):({'|'.join(payload_types)}) ", line) or line.startswith("a=extmap:")
        ]
    return "\r\n".join([*_session(live, fingerprint, "active"), *answered, ""])
