"""Derives what key rings want, in a thread, one step at a time; frames never wait for it."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from hushroom_client.e2ee.key_ring import DerivationRequest, KeyRing
from hushroom_client.e2ee.keys import KeyMaterial, StepKeys
from hushroom_common.ids import Identity

__all__ = ["Derivations"]

log = logging.getLogger(__name__)

Wanted = tuple[Identity, KeyRing, DerivationRequest]


class Derivations:
    """The work of one room's rings. `wake` it whenever a ring may want something; `run` it until it is cancelled."""

    def __init__(
        self,
        rings: Callable[[], Iterable[tuple[Identity, KeyRing]]],
        derive: Callable[[KeyMaterial], StepKeys],
        installed: Callable[[Identity, KeyRing], None],
    ) -> None:
        """`installed` is told, on the event loop, of a ring in which a key can be used from now on."""
        self._rings = rings
        self._derive = derive
        self._installed = installed
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Looks at the rings again."""
        self._awake.set()

    async def run(self) -> None:
        """Derives, as long as there is anything to derive; then waits for `wake`."""
        wanted: list[Wanted] = []
        while True:
            # Without those of keys that are gone: who comes and goes all the time costs nothing.
            wanted = [one for one in wanted if one[1].awaits(one[2])]
            wanted += [(*named, request) for named in self._rings() for request in named[1].wants_derivation()]
            if not wanted:
                await self._awake.wait()
                self._awake.clear()
                continue
            # First what frames wait for; then one step a key and turn, so that nobody's long ratchet delays another's.
            wanted.sort(key=lambda one: one[2].slot.is_ready)
            await self._take(*wanted.pop(0))

    async def _take(self, identity: Identity, ring: KeyRing, request: DerivationRequest) -> None:
        try:
            keys = await asyncio.to_thread(self._derive, request.material)
        except Exception as error:  # that key stays unusable; the others' must not
            log.warning("a key could not be derived", extra={"error": type(error).__name__})
            return
        if ring.derived(request, keys):
            self._installed(identity, ring)
