"""What a client holds for each other participant: his key ring, the state people are told, where his IVs came from."""

from collections import OrderedDict
from collections.abc import Iterator

from hushroom_client.e2ee.key_ring import KeyRing
from hushroom_client.e2ee.participant_state import ParticipantState
from hushroom_client.e2ee.sources import SourcePins
from hushroom_common.ids import Identity, PublicationId

__all__ = ["REMEMBERED_IDENTITIES", "Peer", "Peers"]

REMEMBERED_IDENTITIES = 256
"""Identities that left and whose replay windows are kept."""


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

    def left(self, identity: Identity, *, now: float) -> None:
        """Wipes the peer's keys."""
        peer = self._present.pop(identity, None)
        if peer is not None:
            peer.ring.wipe()
        self.pins_of(identity).retire(identity, now=now)
        self._forget_beyond_capacity()

    def unpublished(self, identity: Identity, publication: PublicationId, *, now: float) -> None:
        """A publication is over."""
        self.pins_of(identity).retire(identity, publication, now=now)

    def pins_of(self, identity: Identity) -> SourcePins:
        """The registry of an identity's sources: his own, or the room's where all share their keys."""
        scope = None if self._share_keys else identity
        pins = self._pins.setdefault(scope, SourcePins())
        self._pins.move_to_end(scope)
        return pins

    def clear(self, *, now: float) -> None:
        """Wipes everybody's keys."""
        for identity, _ in self:
            self.left(identity, now=now)

    def _forget_beyond_capacity(self) -> None:
        """Only those of whom something opened count, or a server could make us forget one by inventing many."""
        gone = [scope for scope in self._pins if scope is not None and scope not in self._present]
        remembered = [scope for scope in gone if not self._pins[scope].is_empty]
        for scope in [one for one in gone if self._pins[one].is_empty] + remembered[:-REMEMBERED_IDENTITIES]:
            del self._pins[scope]
