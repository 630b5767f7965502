"""Any datagrams, from a publisher or a subscriber, RTP or RTCP: the forwarder never raises and never ticks for ever."""

from hushroom_common.rtp import is_rtcp
from tests.support.forwarding import Forwarding
from tests.support.streams import Vp8Stream


def corpus() -> list[bytes]:
    packets = list(Vp8Stream(temporal_layers=True).sends("K P P P K"))
    return [b"".join(len(packet).to_bytes(2) + packet for packet in packets), len(packets[0]).to_bytes(2) + packets[0]]


def fuzz(data: bytes) -> None:
    forwarding = Forwarding()
    ada, bo = forwarding.leg(), forwarding.leg()
    slot = forwarding.slot(bo, with_rtx=True)
    camera = forwarding.camera(ada, rtx_ssrc=0x1001)
    forwarding.assign(slot, camera)
    at = 0
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2])
        packet, leg = data[at + 2 : at + 2 + size % 2048], bo if size & 0x8000 else ada
        at += 2 + size % 2048
        if is_rtcp(packet):
            forwarding._do(forwarding.forwarder.receive_rtcp(packet, leg, forwarding.now))
        else:
            forwarding.arrives(leg, packet)
        forwarding.passes(0.02)
    forwarding.release(slot)
