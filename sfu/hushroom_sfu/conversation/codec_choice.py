"""Which payload types of an m-line are ours, and what is said about them in offers and answers.

One table a direction: what the server offers to subscribers is fixed; from a publisher's offer it picks the payload
type that any subscriber's decoder can take.
"""

from dataclasses import replace

from hushroom_common.ids import Codec, Kind
from hushroom_sfu.conversation.sdp import MediaSection, RtpCodec

__all__ = ["accepted_rtx", "answered", "find_codec", "is_codec", "offered_codecs"]

_FEEDBACK = ("nack", "nack pli", "ccm fir")
_H264_PARAMETERS = (("level-asymmetry-allowed", "1"), ("packetization-mode", "1"), ("profile-level-id", "42e01f"))
_ECHOED_PARAMETERS = {
    Codec.H264: ("level-asymmetry-allowed", "packetization-mode", "profile-level-id"),
    Codec.VP9: ("profile-id",),
    Codec.AV1: ("level-idx", "profile", "tier"),
    Codec.VP8: (),  # its max-fs and max-fr are limits of a receiver; the server has none
}


def _video(name: str, payload_type: int, *parameters: tuple[str, str]) -> tuple[RtpCodec, RtpCodec]:
    codec = RtpCodec(payload_type, name, 90_000, parameters=parameters, feedback=_FEEDBACK)
    return codec, RtpCodec(payload_type + 1, "rtx", 90_000, parameters=(("apt", str(payload_type)),))


_OFFERED: dict[Kind, tuple[RtpCodec, ...]] = {
    Kind.AUDIO: (RtpCodec(111, "opus", 48_000, 2, parameters=(("minptime", "10"), ("useinbandfec", "1"))),),
    Kind.VIDEO: (
        *_video("VP8", 96),
        *_video("VP9", 98, ("profile-id", "0")),
        *_video("H264", 102, *_H264_PARAMETERS),
        *_video("AV1", 45, ("level-idx", "5"), ("profile", "0"), ("tier", "0")),
    ),
}


def offered_codecs(kind: Kind) -> tuple[RtpCodec, ...]:
    """What the server can send on an m-line of that kind, best understood first, each with its RTX."""
    return _OFFERED[kind]


def is_codec(rtp_codec: RtpCodec, codec: Codec) -> bool:
    """Whether this payload type carries that codec as it can be forwarded to anybody."""
    return _rank(rtp_codec, codec) is not None


def find_codec(section: MediaSection, codec: Codec) -> RtpCodec | None:
    """The payload type of an offered m-line to take for `codec`: of equals the first, which is the offerer's choice."""
    ranked = [(rank, one) for one in section.codecs if (rank := _rank(one, codec)) is not None]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def answered(rtp_codec: RtpCodec, codec: Codec) -> RtpCodec:
    """An offered payload type as the answer repeats it: with the feedback and the parameters that the server means."""
    if codec is Codec.OPUS:
        parameters = _opus_parameters(rtp_codec)
    else:
        echoed = _ECHOED_PARAMETERS[codec]
        parameters = tuple((key, value) for key, value in rtp_codec.parameters if key.lower() in echoed)
    feedback = tuple(one for one in rtp_codec.feedback if one in _FEEDBACK)
    return replace(rtp_codec, parameters=parameters, feedback=feedback)


def accepted_rtx(section: MediaSection, rtp_codec: RtpCodec) -> RtpCodec | None:
    """The payload type that retransmits `rtp_codec` on an offered m-line (RFC 4588 §8.1), with its apt and no more."""
    rtx = section.rtx_of(rtp_codec.payload_type)
    if rtx is None or not _is_usable(rtx) or rtx.clock_rate != rtp_codec.clock_rate:
        return None
    return replace(rtx, parameters=(("apt", str(rtp_codec.payload_type)),), feedback=())


def _is_usable(rtp_codec: RtpCodec) -> bool:
    # RFC 5761 §4: on a port shared with RTCP, 64 to 95 would be taken for RTCP packets.
    return not 64 <= rtp_codec.payload_type <= 95


def _rank(rtp_codec: RtpCodec, codec: Codec) -> int | None:
    """How well the payload type serves; lower is better, None is not at all."""
    if not (rtp_codec.is_named(codec) and rtp_codec.clock_rate == codec.clock_rate and _is_usable(rtp_codec)):
        return None
    match codec:
        case Codec.OPUS:
            serves = rtp_codec.channels == 2  # RFC 7587 §7: always 2
        case Codec.VP9:
            serves = rtp_codec.parameter("profile-id", "0") == "0"
        case Codec.AV1:
            serves = rtp_codec.parameter("profile", "0") == "0"
        case Codec.H264:
            return _h264_rank(rtp_codec)
        case Codec.VP8:
            serves = True
    return 0 if serves else None


def _h264_rank(rtp_codec: RtpCodec) -> int | None:
    """RFC 6184 §8.1: constrained baseline, which everybody decodes, before baseline; only packetization-mode 1."""
    if rtp_codec.parameter("packetization-mode", "0") != "1":
        return None
    profile = rtp_codec.parameter("profile-level-id", "42e01f").lower()
    if profile.startswith("42e0"):
        return 0
    return 1 if profile.startswith("42") else None


def _opus_parameters(offered: RtpCodec) -> tuple[tuple[str, str], ...]:
    """What the sender is asked for (RFC 7587 §6.1): what it offered of quality, and frames whose sizes say nothing."""
    parameters = [("minptime", "10")] if offered.parameter("minptime") == "10" else []
    parameters += [(key, "1") for key in ("useinbandfec", "stereo") if offered.parameter(key) == "1"]
    return (*parameters, ("cbr", "1"), ("usedtx", "0"))
