"""Sealing and opening for one room: the shell around the pure parts. It has the clock, the log and the hooks.

Derivations run in a thread; sealing and opening never wait for them. All else happens on the event loop's thread.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import ParamSpec

from hushroom_client.e2ee.clear_prefix import is_supported
from hushroom_client.e2ee.derivations import Derivations
from hushroom_client.e2ee.key_providers import KeyProvider
from hushroom_client.e2ee.key_ring import KeyRing
from hushroom_client.e2ee.keys import KeyMaterial
from hushroom_client.e2ee.opener import FrameOpener
from hushroom_client.e2ee.outcomes import Opened, Outcome
from hushroom_client.e2ee.participant_state import E2EEState
from hushroom_client.e2ee.peers import Peers
from hushroom_client.e2ee.ratchet import Ratchet, SendingKeys
from hushroom_client.e2ee.sealer import FrameSealer, UnsupportedCodec
from hushroom_client.e2ee.sources import Track
from hushroom_client.e2ee.tracks import TrackOpener, TrackSealer
from hushroom_common.errors import HushroomError
from hushroom_common.ids import Codec, Identity, PublicationId

__all__ = ["PROFILES", "E2EEManager"]

log = logging.getLogger(__name__)

HookArgs = ParamSpec("HookArgs")

PROFILES = ("lk1",)
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def seconds_awake_or_asleep() -> float:
    """Monotonic seconds that also count while the machine sleeps, as other people's RTP clocks do."""
    return time.clock_gettime(_CLOCK)


class E2EEManager:
    """Keys, sealers and openers of one room.

    `profile` is what clients agreed on, by the invite or in code; a server never chooses it. Assign the three hooks
    before `start`; they are plain functions and are called on the event loop's thread. What they raise is logged.
    """

    def __init__(
        self,
        *,
        key_provider: KeyProvider,
        profile: str,
        ratchet: Ratchet | None = None,
        clock: Callable[[], float] = seconds_awake_or_asleep,
    ) -> None:
        if profile not in PROFILES:
            raise ValueError(f"unknown profile {profile!r}: this version speaks {', '.join(PROFILES)}")
        self.profile = profile
        self._clock = clock
        self.on_state: Callable[[Identity, E2EEState], None] = lambda identity, state: None
        """A participant's state changed."""
        self.on_key_installed: Callable[[Identity], None] = lambda identity: None
        """A participant's key can be used from now on: ask him for a keyframe (or, for oneself, make one)."""
        self.on_key_step: Callable[[int, int], None] = lambda index, step: None
        """Our own (key index, step) changed: send it to the others as a hint."""
        self._provider = key_provider
        self._own_identity: Identity | None = None
        self._own_ring = KeyRing()
        self._sending = SendingKeys(self._own_ring, ratchet)
        self._announced: tuple[int, int] | None = None
        self._own_key_ready = asyncio.Event()
        self._sealers: dict[PublicationId, FrameSealer] = {}
        self._peers = Peers(share_keys=key_provider.is_shared)
        self._derivations = Derivations(self._rings, key_provider.derive, self._installed)
        self._worker: asyncio.Task[None] | None = None

    # --- the room's life --------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether it is between `start` and `close`."""
        return self._worker is not None

    async def start(self, own_identity: Identity) -> None:
        """Begins: asks for our own key and, where there is one, waits until it is derived. `close` ends it.

        Raises HushroomError if it has begun already.
        """
        if self.is_running:
            raise HushroomError("this manager is in use: a manager serves one room at a time")
        self._own_identity = own_identity
        self._provider.attach(self)
        self._worker = asyncio.create_task(self._derivations.run(), name="e2ee derivations")
        for index, material in self._provider.keys_of(own_identity).items():
            self.key_set(own_identity, index, material)
        if (answer := await self._ask(own_identity)) is not None:
            self._provider.adopt(own_identity, answer)
        if self._provider.keys_of(own_identity):
            await self._own_key_ready.wait()

    async def close(self) -> None:
        """Ends: stops deriving and forgets all keys. Frames are neither sealed nor opened any more."""
        if self._worker is None:
            return
        self._provider.detach(self)
        worker, self._worker = self._worker, None
        worker.cancel()
        try:
            await asyncio.wait([worker])
        finally:
            self._own_ring.wipe()
            self._peers.clear(now=self._clock())
            self._sealers.clear()

    async def participant_joined(self, identity: Identity) -> None:
        """Somebody is in the room, or comes in: asks for his key and tells him our step. Waits for the application.

        We ourselves are no participant here, whatever the server says.
        """
        if identity == self._own_identity:
            return
        peer = self._peers.present(identity)
        if peer.has_joined:
            return
        peer.has_joined = True
        for index, material in self._provider.keys_of(identity).items():
            self.key_set(identity, index, material)
        if self._announced is not None:
            _tell(self.on_key_step, *self._announced)
        answer = await self._ask(identity)
        if self._peers.get(identity) is not peer:
            return  # he left while the application was thinking
        if answer is not None:
            self._provider.adopt(identity, answer)
        elif not self._provider.keys_of(identity):
            _tell(self.on_state, identity, peer.state.value)

    def participant_left(self, identity: Identity) -> None:
        """Somebody is gone: his keys are wiped. His frames of before stay refused if they are played again."""
        if identity == self._own_identity:
            return
        self._peers.left(identity, now=self._clock())
        self._provider.forget(identity)

    def unpublished(self, identity: Identity, publication: PublicationId) -> None:
        """A publication, a peer's or our own, is over."""
        if identity == self._own_identity:
            self._sealers.pop(publication, None)
        else:
            self._peers.unpublished(identity, publication, now=self._clock())

    def _started_as(self) -> Identity:
        if self._own_identity is None:
            raise HushroomError("the manager has not started: await start() with your own identity first")
        return self._own_identity

    # --- frames -----------------------------------------------------------------------------------------------------

    def sealer(self, publication: PublicationId, codec: Codec) -> TrackSealer:
        """Seals a publication of ours; the same one goes on when its transport is built anew.

        Raises UnsupportedCodec for what the profile can't carry.
        """
        if not is_supported(codec):
            raise UnsupportedCodec(f"profile {self.profile} can't seal {codec}: use VP8, VP9 or H.264")
        if publication not in self._sealers:
            own_identity = self._started_as()
            sealer = self._sealers[publication] = FrameSealer(self._sending)
            self._peers.pins_of(own_identity).claim(Track(own_identity, publication), sealer.source)
        return TrackSealer(self._sealers[publication], codec, clock=self._clock, after=self._follow_own_step)

    def opener(self, identity: Identity, publication: PublicationId, codec: Codec) -> TrackOpener:
        """Opens a publication of somebody in the room."""
        ring, pins = self._peers.present(identity).ring, self._peers.pins_of(identity)
        opener = FrameOpener(ring, pins, Track(identity, publication), codec)
        return TrackOpener(opener, clock=self._clock, after=partial(self._follow_peer, identity))

    def state(self, identity: Identity) -> E2EEState:
        """How it stands with a participant's frames; `missing key` for strangers."""
        peer = self._peers.get(identity)
        return E2EEState.MISSING_KEY if peer is None else peer.state.value

    @property
    def key_position(self) -> tuple[int, int] | None:
        """The (key index, step) that we seal with, or None before the first frame."""
        return self._sending.position

    def hint(self, identity: Identity, index: int, step: int) -> None:
        """A participant's `(key index, step)` as the server relayed it: says what to derive, decides nothing."""
        if (peer := self._peers.get(identity)) is not None:
            peer.ring.hint(index, step)
            self._derivations.wake()

    def _follow_own_step(self) -> None:
        position = self._sending.position
        if position is not None and position != self._announced:
            self._announced = position
            self._derivations.wake()
            _tell(self.on_key_step, *position)

    def _follow_peer(self, identity: Identity, outcome: Outcome, now: float) -> None:
        peer = self._peers.get(identity)
        if peer is None:
            return
        if isinstance(outcome, Opened) and peer.position != (outcome.key_index, outcome.step):
            peer.position = (outcome.key_index, outcome.step)
            self._derivations.wake()
        before = peer.state.value
        if peer.state.heard(outcome, now=now) is not before:
            _tell(self.on_state, identity, peer.state.value)

    # --- what the key provider says ---------------------------------------------------------------------------------

    def key_set(self, identity: Identity | None, index: int, material: KeyMaterial) -> None:
        """A key was set for a participant, or (None) for everyone."""
        if identity is None or identity == self._own_identity:
            self._own_ring.set(index, material)
            self._sending.use(index)
        for other, peer in self._peers:
            if identity is None or identity == other:
                peer.ring.set(index, material)
        self._derivations.wake()

    def key_removed(self, identity: Identity | None, index: int | None) -> None:
        """A key, or (None) all of a participant's, was removed."""
        for other, ring in self._rings():
            if identity is not None and identity != other:
                continue
            if index is None:
                ring.wipe()
            else:
                ring.remove(index)
            if (peer := self._peers.get(other)) is not None and not ring.has_key:
                before = peer.state.value
                if peer.state.keys_gone() is not before:
                    _tell(self.on_state, other, peer.state.value)

    def ratchet_requested(self) -> None:
        """Our own key shall take a step."""
        self._sending.step_once()

    async def _ask(self, identity: Identity) -> KeyMaterial | None:
        """The application's answer; None too where a key was set or removed meanwhile, which is its later word."""
        before = self._provider.keys_of(identity).get(0)
        try:
            answer = await self._provider.ask(identity)
        except Exception as error:  # the application's callback may raise anything, and must not end the room
            log.warning("on_join gave no usable key", extra={"error": type(error).__name__})
            return None
        return answer if self._provider.keys_of(identity).get(0) is before else None

    # --- derivations ------------------------------------------------------------------------------------------------

    def _rings(self) -> Iterator[tuple[Identity, KeyRing]]:
        if self._own_identity is not None:
            yield self._own_identity, self._own_ring
        for identity, peer in self._peers:
            yield identity, peer.ring

    def _installed(self, identity: Identity, ring: KeyRing) -> None:
        if ring is self._own_ring:
            self._own_key_ready.set()
        elif (peer := self._peers.get(identity)) is not None and peer.ring is ring:
            before = peer.state.value
            if peer.state.key_installed() is not before:
                _tell(self.on_state, identity, peer.state.value)
        else:
            return
        _tell(self.on_key_installed, identity)


def _tell(hook: Callable[HookArgs, None], *args: HookArgs.args, **kwargs: HookArgs.kwargs) -> None:
    """What a hook raises must cost no frame and no derivation."""
    try:
        hook(*args, **kwargs)
    except Exception:
        log.exception("a hook of the E2EE manager failed")
