"""Late packets of layers that a subscriber does not take: numbers stay complete, and no frame arrives in pieces."""

import pytest

from hushroom_common.rtcp import GenericNack
from hushroom_common.rtp import RtpPacket
from tests.support.forwarding import Forwarding
from tests.support.streams import Vp8Stream


@pytest.mark.parametrize("lost", [2, 3], ids=["first packet", "last packet"])
def test_a_late_packet_of_a_torn_frame_becomes_padding_and_stays_it(lost: int) -> None:
    forwarding = Forwarding()
    ada, bo, cy = forwarding.leg(), forwarding.leg(), forwarding.leg()
    camera = forwarding.camera(ada)
    forwarding.assign(forwarding.slot(bo), camera, max_temporal_id=0)
    forwarding.assign(forwarding.slot(cy), camera)
    packets = list(Vp8Stream(temporal_layers=True).sends("K P P P P"))  # two packets a frame, of layers 0 2 1 2 0
    late = packets.pop(lost)
    forwarding.arrives(ada, *packets, late)
    *base_layer, filler = forwarding.rtp[bo]
    assert len(base_layer) == 4
    assert filler.payload == b""
    assert filler.sequence_number == base_layer[1].sequence_number + 1
    assert base_layer[2].sequence_number == base_layer[1].sequence_number + 2
    assert forwarding.rtp[cy][-1].payload == RtpPacket.parse(late).payload
    nack = GenericNack(sender_ssrc=9, media_ssrc=filler.ssrc, lost=(filler.sequence_number,))
    forwarding.arrives_rtcp(bo, nack)
    assert bytes(forwarding.rtp[bo][-1].data) == bytes(filler.data)


def test_a_late_frame_that_is_whole_passes() -> None:
    forwarding = Forwarding()
    ada, bo = forwarding.leg(), forwarding.leg()
    forwarding.assign(forwarding.slot(bo), forwarding.camera(ada), max_temporal_id=0)
    packets = list(Vp8Stream(temporal_layers=True).sends("K P P P P"))
    late = packets[2:4]
    forwarding.arrives(ada, *packets[:2], *packets[4:], *late)
    assert [packet.payload for packet in forwarding.rtp[bo][-2:]] == [RtpPacket.parse(one).payload for one in late]
