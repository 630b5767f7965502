"""As many seats as the server offers by default fit into the messages that offer and answer them."""

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from hushroom_client.media.brief_answer import brief
from hushroom_common.ids import LegRole
from hushroom_common.signaling.json_form import MAX_CLIENT_TEXT, MAX_SERVER_TEXT, encode
from hushroom_common.signaling.messages import Answer, Offer
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.conversation.subscriber_negotiation import SubscriberNegotiation
from hushroom_sfu.conversation.transport import Fingerprint, LocalTransport
from tests.support.control_plane import counting_entropy


async def test_the_longest_offer_and_the_clients_answer_fit() -> None:
    local = LocalTransport(
        "u" * 8,
        "p" * 24,
        Fingerprint("sha-256", ":".join(["AB"] * 32)),
        (("192.0.2.1", 50_000), ("2001:db8::1", 50_000)),
    )
    negotiation = SubscriberNegotiation(local, entropy=counting_entropy())
    seats = Limits().seats_per_subscriber
    for _ in range(seats):
        negotiation.add_seat()
    number, sdp = negotiation.offer()
    assert len(encode(Offer(LegRole.SUBSCRIBER, number, sdp))) < MAX_SERVER_TEXT
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        answer = await connection.createAnswer()
    finally:
        await connection.close()
    short = brief(answer.sdp)
    assert len(encode(Answer(LegRole.SUBSCRIBER, number, short))) <= MAX_CLIENT_TEXT
    agreement = negotiation.accept(number, short)
    assert len(agreement.slots) == 2 * seats
