"""Where keys come from: one that all share, or one for each participant, moved by the application.

A key is a `str`, a passphrase (PBKDF2), or `bytes` or a `Secret`, raw random bytes (HKDF), as in LiveKit's JavaScript.
Providers are used on the event loop's thread, like everything that reaches a room; only `derive` runs elsewhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from hushroom_client.e2ee.key_ring import RING_SIZE
from hushroom_client.e2ee.keys import KeyMaterial, StepCache, StepKeys, derive_step
from hushroom_common.ids import Identity
from hushroom_common.secret import Secret

__all__ = ["Key", "KeyListener", "KeyProvider", "OnJoin", "ParticipantKeyProvider", "SharedKeyProvider"]

Key = str | bytes | Secret
"""A passphrase (`str`) or raw key bytes (`bytes`, `Secret`: at least 16, better 32 random ones)."""

OnJoin = Callable[[Identity], Awaitable[Key | None]]
"""Asked for the key of each participant present or joining, oneself included; None while there is none yet."""


class KeyListener(Protocol):
    """Hears what a provider's owner does. `identity` is None for everyone."""

    def key_set(self, identity: Identity | None, index: int, material: KeyMaterial) -> None:
        """A key was set at an index."""

    def key_removed(self, identity: Identity | None, index: int | None) -> None:
        """The key at an index, or at all of them, was removed."""

    def ratchet_requested(self) -> None:
        """Our own key shall take one step."""


class KeyProvider(ABC):
    """What `E2EEManager` needs of a provider."""

    is_shared: bool
    """Whether all participants use the same keys."""

    def __init__(self) -> None:
        self._listeners: list[KeyListener] = []

    def attach(self, listener: KeyListener) -> None:
        """Tells `listener` of every change from now on."""
        self._listeners.append(listener)

    def detach(self, listener: KeyListener) -> None:
        """Tells `listener` no more."""
        self._listeners.remove(listener)

    def ratchet(self) -> None:
        """Moves our own key one step on, at the next frame we send. Others follow when they open it."""
        for listener in self._listeners:
            listener.ratchet_requested()

    @abstractmethod
    def keys_of(self, identity: Identity) -> Mapping[int, KeyMaterial]:
        """The keys known for a participant, by index, in the order in which they were set."""

    @abstractmethod
    async def ask(self, identity: Identity) -> KeyMaterial | None:
        """Asks the application for a participant's key. Raises what it raises, and ValueError for a useless key."""

    @abstractmethod
    def adopt(self, identity: Identity, material: KeyMaterial) -> None:
        """Takes the answer of `ask`."""

    @abstractmethod
    def forget(self, identity: Identity) -> None:
        """Wipes what belongs to a participant who left."""

    @abstractmethod
    def derive(self, material: KeyMaterial) -> StepKeys:
        """Derives a step; slow, and called off the event loop, one call at a time."""

    def _tell_set(self, identity: Identity | None, index: int, material: KeyMaterial) -> None:
        for listener in self._listeners:
            listener.key_set(identity, index, material)

    def _tell_removed(self, identity: Identity | None, index: int | None) -> None:
        for listener in self._listeners:
            listener.key_removed(identity, index)


class SharedKeyProvider(KeyProvider):
    """One key for the whole room, usually a passphrase. Each participant's key ratchets separately from it.

    Whoever knows it can speak as anyone in the room, and who records the sealed frames can try passphrases at leisure
    (100 000 rounds of PBKDF2 under a salt that is the same everywhere): use random words, not a saying.
    """

    is_shared = True

    def __init__(self, passphrase: Key) -> None:
        super().__init__()
        self._keys: dict[int, KeyMaterial] = {0: KeyMaterial.of(passphrase)}
        self._cache = StepCache()

    def set_key(self, key: Key, index: int = 0) -> None:
        """Sets the room's key at `index`, and seals with it once it is derived."""
        index = _ring_index(index)
        material = KeyMaterial.of(key)
        if self._keys.pop(index, None) is not None:
            self._cache.clear()
        self._keys[index] = material
        self._tell_set(None, index, material)

    def remove_key(self, index: int = 0) -> None:
        """Removes the room's key at `index`: nothing is sealed or opened with it any more."""
        index = _ring_index(index)
        self._keys.pop(index, None)
        self._cache.clear()
        self._tell_removed(None, index)

    def keys_of(self, identity: Identity) -> Mapping[int, KeyMaterial]:
        """The room's keys."""
        return dict(self._keys)

    async def ask(self, identity: Identity) -> KeyMaterial | None:
        """Nobody has a key of his own."""
        return None

    def adopt(self, identity: Identity, material: KeyMaterial) -> None:
        """Never called: nobody has a key of his own."""
        raise TypeError("a shared key belongs to nobody alone")

    def forget(self, identity: Identity) -> None:
        """Leaves the room's keys as they are: the leaver knows them. Set another at a new index to shut him out."""

    def derive(self, material: KeyMaterial) -> StepKeys:
        """Derives each step once for all participants."""
        return self._cache.derive(material)


class ParticipantKeyProvider(KeyProvider):
    """A key for each participant, oneself included, moved by means outside hushroom.

    `on_join` is asked for each participant present or joining; `set_key` may bring a key at any time before or after.
    A participant's keys are wiped when he leaves.
    """

    is_shared = False

    def __init__(self, on_join: OnJoin | None = None) -> None:
        super().__init__()
        self._on_join = on_join
        self._keys: dict[Identity, dict[int, KeyMaterial]] = {}

    def set_key(self, identity: Identity | str, key: Key, index: int = 0) -> None:
        """Sets a participant's key. For oneself: it is sealed with once it is derived, so others need it before.

        An `index` beyond 15 wraps around, as in LiveKit. Give joiners a new key at a new index, never a ratcheted one.
        """
        self._put(Identity(identity), _ring_index(index), KeyMaterial.of(key))

    def remove_key(self, identity: Identity | str, index: int | None = None) -> None:
        """Removes a participant's key at `index`, or all of them."""
        identity = Identity(identity)
        index = None if index is None else _ring_index(index)
        if index is None:
            self._keys.pop(identity, None)
        else:
            self._keys.get(identity, {}).pop(index, None)
        self._tell_removed(identity, index)

    def keys_of(self, identity: Identity) -> Mapping[int, KeyMaterial]:
        """The participant's keys."""
        return dict(self._keys.get(identity, {}))

    async def ask(self, identity: Identity) -> KeyMaterial | None:
        """Asks `on_join`."""
        key = None if self._on_join is None else await self._on_join(identity)
        return None if key is None else KeyMaterial.of(key)

    def adopt(self, identity: Identity, material: KeyMaterial) -> None:
        """Takes the answer of `on_join` at index 0. The key that is there already goes on, with its ratchet."""
        known = self.keys_of(identity).get(0)
        if known is None or (known.kdf, known.secret) != (material.kdf, material.secret):
            self._put(identity, 0, material)

    def forget(self, identity: Identity) -> None:
        """Wipes the participant's keys."""
        self._keys.pop(identity, None)

    def derive(self, material: KeyMaterial) -> StepKeys:
        """Derives a step and remembers nothing."""
        return derive_step(material)

    def _put(self, identity: Identity, index: int, material: KeyMaterial) -> None:
        keys = self._keys.setdefault(identity, {})
        keys.pop(index, None)
        keys[index] = material
        self._tell_set(identity, index, material)


def _ring_index(index: int) -> int:
    if index < 0:
        raise ValueError(f"a key index counts from 0 up, not {index}")
    return index % RING_SIZE
