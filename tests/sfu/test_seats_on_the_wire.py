"""As many seats as the server offers by default fit into the messages that offer and answer them."""

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from hushroom_common.ids import LegRole
from hushroom_common.signaling.json_form import MAX_CLIENT_TEXT, MAX_SERVER_TEXT, encode
from hushroom_common.signaling.messages import Answer, Offer
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.conversation.subscriber_negotiation import SubscriberNegotiation
from hushroom_sfu.conversation.transport import Fingerprint, LocalTransport
from tests.support.control_plane import counting_entropy

CANDIDATE = "a=candidate:" + "0" * 96 + "\r\n"
"""A longer one than aiortc writes even for IPv6."""


async def test_the_longest_offer_and_aiortcs_answer_with_five_candidates_a_line_fit() -> None:
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
    # aiortc writes its candidates on every m-line.
    gathered = answer.sdp + 2 * seats * 5 * CANDIDATE
    assert len(encode(Answer(LegRole.SUBSCRIBER, number, gathered))) <= MAX_CLIENT_TEXT
