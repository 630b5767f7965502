"""What a client holds for each other participant: his key ring, the state people are told, where his IVs came from."""

from collections import OrderedDict
from collections.abc import Iterator

from hushroom_client.e2ee.key_ring import KeyRing
from hushroom_client.e2ee.participant_state import ParticipantState
from hushroom_client.e2ee.sources import SourcePins
from hushroom_common.ids import Identity, PublicationId

__all__ = ["REMEMBERED_IDENTITIES", "Peer", "Peers"]

REMEMBERED_IDENTITIES = 256
"""Identities whose replay windows are kept, those who left included."""


class Peer:
    """One identity while it is in the room."""

    def __init__(self) -> None:
        self.has_joined = False
        self.ring = KeyRing()
        self.state = ParticipantState()
        self.position: tuple[int, int] | None = None
        """The (key index, step) of the frame opened last."""


class Peers:
    """The other participants. Replay windows outlive a participation, keys don't."""

    def __init__(self, *, share_keys: bool) -> None:
        self._share_keys = share_keys
        self._present: dict[Identity, Peer] = {}
        self._pins: OrderedDict[Identity | None, SourcePins] = OrderedDict()

    def __iter__(self) -> Iterator[tuple[Identity, Peer]]:
        return iter(list(self._present.items()))

    def get(self, identity: Identity) -> Peer | None:
        """The peer, if he is present."""
        return self._present.get(identity)

    def present(self, identity: Identity) -> Peer:
        """The peer, who is present from now on."""
        return self._present.setdefault(identity, Peer())

    def left(self, identity: Identity) -> None:
        """Wipes the peer's keys."""
        peer = self._present.pop(identity, None)
        if peer is not None:
            peer.ring.wipe()
        self.pins_of(identity).retire(identity)

    def unpublished(self, identity: Identity, publication: PublicationId) -> None:
        """A publication is over."""
        self.pins_of(identity).retire(identity, publication)

    def pins_of(self, identity: Identity) -> SourcePins:
        """The registry of an identity's sources: his own, or the room's where all share their keys."""
        scope = None if self._share_keys else identity
        pins = self._pins.setdefault(scope, SourcePins())
        self._pins.move_to_end(scope)
        for oldest in list(self._pins)[: len(self._pins) - REMEMBERED_IDENTITIES]:
            if oldest is None or oldest not in self._present:
                del self._pins[oldest]
        return pins

    def clear(self) -> None:
        """Wipes everybody's keys."""
        for identity, _ in self:
            self.left(identity)
