"""How a room's media is sealed: with an `E2EEManager`, or explicitly not at all. Both have one shape."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from hushroom_client.e2ee import E2EEManager, E2EEState, NoSendingKey, Opened
from hushroom_client.media.feed import Transform
from hushroom_client.media.frames import EncodedFrame
from hushroom_client.reception import Open
from hushroom_common.errors import HushroomError
from hushroom_common.ids import Codec, Identity, PublicationId

__all__ = ["UNSEALED", "Sealed", "Sealing", "SealingHooks", "Unsealed"]

UNSEALED = "none"
"""What a publication that is not sealed announces as its profile."""


@dataclass(frozen=True, slots=True)
class SealingHooks:
    """What a room wants to hear of its keys; plain functions, called on the event loop."""

    state_changed: Callable[[Identity], None]
    key_installed: Callable[[Identity], None]
    key_step: Callable[[int, int], None]


class Sealing(Protocol):
    """What a room needs of sealing."""

    profile: str
    """What our publications announce; others' are only played if they announce the same."""

    async def begin(self, own_identity: Identity, hooks: SealingHooks) -> None:
        """We are in the room; returns when a key that is at hand can be used."""

    async def close(self) -> None:
        """We are not any more: keys are forgotten."""

    async def came(self, identity: Identity) -> None:
        """Somebody is in the room."""

    def left(self, identity: Identity) -> None:
        """Somebody is not any more."""

    def unpublished(self, identity: Identity, publication: PublicationId) -> None:
        """A publication, somebody's or ours, is over."""

    def hint(self, identity: Identity, key_index: int, step: int) -> None:
        """What somebody says that he seals with."""

    def seal_with(self, publication: PublicationId, codec: Codec) -> Transform:
        """What every frame of a publication of ours goes through. Raises UnsupportedCodec."""

    def open_with(self, identity: Identity, publication: PublicationId, codec: Codec) -> Open:
        """What every frame of somebody's publication goes through."""

    def state(self, identity: Identity, announced: Iterable[str]) -> E2EEState:
        """How it stands with somebody whose tracks announce these profiles."""


class Sealed:
    """Everything that is sent is sealed, everything that is shown has opened."""

    def __init__(self, manager: E2EEManager) -> None:
        self._manager = manager
        self._has_begun = False
        self.profile = manager.profile

    async def begin(self, own_identity: Identity, hooks: SealingHooks) -> None:
        """Starts the manager. Raises HushroomError where it serves another room."""
        if self._manager.is_running:
            raise HushroomError("this E2EEManager is in use: a manager serves one room at a time")
        self._has_begun = True
        self._manager.on_state = lambda identity, _state: hooks.state_changed(identity)
        self._manager.on_key_installed = hooks.key_installed
        self._manager.on_key_step = hooks.key_step
        await self._manager.start(own_identity)

    async def close(self) -> None:
        """Ends the manager, unless it is another room's."""
        if self._has_begun:
            await self._manager.close()

    async def came(self, identity: Identity) -> None:
        """Asks for his key; waits for the application."""
        await self._manager.participant_joined(identity)

    def left(self, identity: Identity) -> None:
        """Wipes his keys."""
        self._manager.participant_left(identity)

    def unpublished(self, identity: Identity, publication: PublicationId) -> None:
        """Forgets the sealer, or the sources of a track."""
        self._manager.unpublished(identity, publication)

    def hint(self, identity: Identity, key_index: int, step: int) -> None:
        """Says what to derive, decides nothing."""
        self._manager.hint(identity, key_index, step)

    def seal_with(self, publication: PublicationId, codec: Codec) -> Transform:
        """Seals; drops frames as long as there is no key."""
        sealer = self._manager.sealer(publication, codec)

        def seal(frame: EncodedFrame) -> bytes | None:
            try:
                return sealer.seal(frame.data)
            except NoSendingKey:
                return None

        return seal

    def open_with(self, identity: Identity, publication: PublicationId, codec: Codec) -> Open:
        """Opens."""
        return self._manager.opener(identity, publication, codec).open

    def state(self, identity: Identity, announced: Iterable[str]) -> E2EEState:
        """The manager's word, unless he himself says that what he sends is not sealed."""
        return E2EEState.NOT_SEALED if UNSEALED in announced else self._manager.state(identity)


class Unsealed:
    """A room without sealing: whoever runs the server sees and hears everything."""

    profile = UNSEALED

    async def begin(self, own_identity: Identity, hooks: SealingHooks) -> None:
        """There are no keys."""

    async def close(self) -> None:
        """There are no keys."""

    async def came(self, identity: Identity) -> None:
        """There are no keys."""

    def left(self, identity: Identity) -> None:
        """There are no keys."""

    def unpublished(self, identity: Identity, publication: PublicationId) -> None:
        """There are no sealers."""

    def hint(self, identity: Identity, key_index: int, step: int) -> None:
        """There are no keys."""

    def seal_with(self, publication: PublicationId, codec: Codec) -> Transform:
        """Takes frames as they are."""
        return lambda frame: frame.data

    def open_with(self, identity: Identity, publication: PublicationId, codec: Codec) -> Open:
        """Takes frames as they are."""
        return lambda data: Opened(data, 0, 0)

    def state(self, identity: Identity, announced: Iterable[str]) -> E2EEState:
        """Not sealed, as is everything here; who seals all the same is not played, for there is no key."""
        is_sealed = any(profile != UNSEALED for profile in announced)
        return E2EEState.MISSING_KEY if is_sealed else E2EEState.NOT_SEALED
