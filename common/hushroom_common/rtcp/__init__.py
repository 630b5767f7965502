"""RTCP as far as a forwarder ends it: reports, descriptions, goodbyes and the feedback that browsers send."""

from hushroom_common.rtcp.compound import RtcpPacket, compound, parse_compound
from hushroom_common.rtcp.feedback import (
    FirEntry,
    FullIntraRequest,
    GenericNack,
    PictureLossIndication,
    ReceiverEstimatedMaximumBitrate,
)
from hushroom_common.rtcp.ntp import middle_32, ntp_from_unix, unix_from_ntp
from hushroom_common.rtcp.reports import ReceiverReport, ReportBlock, SenderReport
from hushroom_common.rtcp.sources import SDES_CNAME, Goodbye, SdesChunk, SourceDescription

__all__ = [
    "SDES_CNAME",
    "FirEntry",
    "FullIntraRequest",
    "GenericNack",
    "Goodbye",
    "PictureLossIndication",
    "ReceiverEstimatedMaximumBitrate",
    "ReceiverReport",
    "ReportBlock",
    "RtcpPacket",
    "SdesChunk",
    "SenderReport",
    "SourceDescription",
    "compound",
    "middle_32",
    "ntp_from_unix",
    "parse_compound",
    "unix_from_ntp",
]
