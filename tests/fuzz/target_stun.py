"""Any bytes are a connectivity check or a WireError, and only what carries the password's integrity is answered."""

from aioice import stun

from hushroom_common.errors import WireError
from hushroom_sfu.plane.ice_lite import Check, CheckDropped, IceCredentials, IceLiteAgent, PathSelected, Respond

_OURS = IceCredentials("ours", "password-of-the-server")
_ROUTE = (("192.0.2.1", 4000), b"")


def corpus() -> list[bytes]:
    seeds = []
    for role in ("ICE-CONTROLLING", "ICE-CONTROLLED"):
        for password in (_OURS.password, "a guess of the password"):
            for message_class in stun.Class:
                message = stun.Message(
                    message_method=stun.Method.BINDING,
                    message_class=message_class,
                    transaction_id=bytes(12),
                    attributes={"USERNAME": "ours:theirs", "PRIORITY": 1, role: 99, "USE-CANDIDATE": None},
                )
                message.add_message_integrity(password.encode())
                seeds.append(bytes(message))
    everything = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, bytes(12))
    everything.attributes.update(
        {
            "USERNAME": "ours:theirs",
            "ERROR-CODE": (401, "Unauthorized"),
            "XOR-MAPPED-ADDRESS": ("2001:db8::1", 1),
            "MAPPED-ADDRESS": ("192.0.2.1", 1),
            "LIFETIME": 1,
            "CHANNEL-NUMBER": 1,
            "SOFTWARE": "name",
        }
    )
    return [*seeds, bytes(everything)]


def fuzz(data: bytes) -> None:
    try:
        check = Check.parse(data)
    except WireError:
        return
    agent = IceLiteAgent(_OURS)
    agent.set_remote("theirs")
    actions = agent.receive(check, _ROUTE, 0.0)
    is_genuine = check.message.check_message_integrity(_OURS.password.encode())
    assert any(isinstance(action, Respond) for action in actions) <= is_genuine
    assert (PathSelected() in actions) == agent.may_send(0.0) == (agent.selected == _ROUTE)
    for action in actions:
        if isinstance(action, Respond):
            assert stun.parse_message(action.datagram).transaction_id == check.message.transaction_id
        else:
            assert isinstance(action, CheckDropped | PathSelected)
