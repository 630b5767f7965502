"""The control plane's shell: feeds the switchboard what happens, carries out what it says, runs its clock.

Everything here is synchronous, on the event loop, and off the packet path.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from pyee import EventEmitter

from hushroom_common.errors import WireError
from hushroom_common.ids import LegId
from hushroom_common.signaling import CloseCode, Closed, decode_client, encode
from hushroom_sfu.conversation.actions import Action, CloseConnection, LegEvent, OpenLeg, RestartIce, RoomEvent, Send
from hushroom_sfu.conversation.session import ConnectionId
from hushroom_sfu.conversation.switchboard import Counts, Switchboard
from hushroom_sfu.media_desk import MediaDesk
from hushroom_sfu.plane.media_plane import MediaPlane

__all__ = ["Connection", "Control", "Speaker"]

log = logging.getLogger(__name__)

_MIN_TICK_S = 0.01
"""A deadline that has passed and stays is no reason to spin."""

_LOOK_S = 0.05
"""How late a deadline may be noticed. They are seconds; to ask for the next one looks at everybody on the server, which
must not be done for every message of everybody."""


class Connection(Protocol):
    """The way back to a client. Neither method blocks or calls back."""

    def send(self, text: str) -> None:
        """Send a message after those before it."""

    def close(self, closed: Closed | None) -> None:
        """Send `closed`, if there is anything to say, and close."""

    def close_after_failure(self) -> None:
        """Close because of a mistake of ours."""


class Control:
    """One server's control plane. `start` inside the event loop; `stop` when everybody has gone.

    Room events go to `events`, an emitter, by their kind; closed sessions as "closed" with the code or None.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        plane: MediaPlane,
        events: EventEmitter,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._switchboard = switchboard
        self._events = events
        self._clock = clock
        self._desk = MediaDesk(plane, self._leg_event)
        self._connections: dict[ConnectionId, Connection] = {}
        self._minted = 0
        self._actions: deque[Action] = deque()
        self._is_carrying_out = False
        self._look: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._has_stopped = False
        self.failures = 0
        """Mistakes of ours that were caught; each is in the log."""

    @property
    def counts(self) -> Counts:
        """What there is now."""
        return self._switchboard.counts

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of any client; so it is when everybody has gone and the legs have closed."""
        counts = self.counts
        return not (self._connections or self._actions or counts.rooms or counts.connections) and self._desk.is_empty

    # --- what happens -------------------------------------------------------------------------------------------------

    def connected(self, connection: Connection) -> "Speaker":
        """A WebSocket is open; what comes from it goes to the speaker that is returned."""
        self._minted += 1
        number = ConnectionId(self._minted)
        self._connections[number] = connection
        with self._survives(number):
            self._put(self._switchboard.connected(number, self._clock()))
        return Speaker(self, number)

    def heard(self, number: ConnectionId, text: bytes) -> None:
        """A text message came in."""
        try:
            message = decode_client(text.decode())
        except (WireError, UnicodeDecodeError) as error:
            self.misspoke(number, CloseCode.PROTOCOL_ERROR, _complaint(error))
            return
        with self._survives(number):
            self._put(self._switchboard.received(number, message, self._clock()))

    def misspoke(self, number: ConnectionId, code: CloseCode, message: str) -> None:
        """Something came in that is no message."""
        with self._survives(number):
            self._put(self._switchboard.misspoke(number, code, message, self._clock()))

    def disconnected(self, number: ConnectionId) -> None:
        """A WebSocket is gone."""
        self._connections.pop(number, None)
        with self._survives(None):
            self._put(self._switchboard.disconnected(number, self._clock()))

    def _leg_event(self, leg: LegId, event: LegEvent) -> None:
        with self._survives(None):
            self._put(self._switchboard.leg_event(leg, event, self._clock()))

    # --- the end ------------------------------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """Tell everybody that the server is going down, and close. Nobody is let in any more."""
        with self._survives(None):
            self._put(self._switchboard.shut_down(self._clock()))

    def stop(self) -> None:
        """Stop the clock."""
        self._has_stopped = True
        for timer in (self._look, self._timer):
            if timer is not None:
                timer.cancel()

    # --- carrying out -------------------------------------------------------------------------------------------------

    def _put(self, actions: Iterable[Action]) -> None:
        """Carry out actions, and those that come of them, in order; then set the clock."""
        self._actions.extend(actions)
        if self._is_carrying_out:
            return
        self._is_carrying_out = True
        try:
            while self._actions:
                with self._survives(None):
                    self._carry_out(self._actions.popleft())
        finally:
            self._is_carrying_out = False
        self._set_clock_soon()

    def _carry_out(self, action: Action) -> None:
        match action:
            case Send(number, message):
                connection = self._connections.get(number)
                if connection is not None:
                    connection.send(encode(message))
            case CloseConnection(number, closed):
                self._events.emit("closed", None if closed is None else closed.code)
                connection = self._connections.pop(number, None)
                if connection is not None:
                    connection.close(closed)
            case OpenLeg(participant, role):
                leg, local = self._desk.open_leg(role)
                self._actions.extend(self._switchboard.leg_opened(participant, role, leg, local, self._clock()))
            case RestartIce(leg):
                renewed = self._desk.restart_ice(leg)
                if renewed is not None:
                    self._actions.extend(self._switchboard.leg_restarted(leg, renewed, self._clock()))
            case RoomEvent():
                self._events.emit(action.kind, action)
            case _:
                self._desk.carry_out(action)

    @contextmanager
    def _survives(self, number: ConnectionId | None) -> Iterator[None]:
        """A mistake of ours costs the client whose input brought it to light his connection, and nobody else."""
        try:
            yield
        except Exception:
            self.failures += 1
            log.exception("the control plane failed")
            connection = self._connections.get(number) if number is not None else None
            if connection is not None:
                connection.close_after_failure()

    # --- time ---------------------------------------------------------------------------------------------------------

    def _set_clock_soon(self) -> None:
        """Once for all inputs of the next moment."""
        if self._look is None and not self._has_stopped:
            self._look = asyncio.get_running_loop().call_later(_LOOK_S, self._set_clock)

    def _set_clock(self) -> None:
        self._look = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._switchboard.next_deadline()
        if deadline is not None:
            delay_s = max(_MIN_TICK_S, deadline - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_time)

    def _on_time(self) -> None:
        with self._survives(None):
            self._put(self._switchboard.tick(self._clock()))
        self._set_clock_soon()  # whatever became of this one


class Speaker:
    """One open WebSocket as the control plane hears it."""

    def __init__(self, control: Control, number: ConnectionId) -> None:
        self._control = control
        self._number = number

    def heard(self, text: bytes) -> None:
        """A text message came in, not known to be UTF-8."""
        self._control.heard(self._number, text)

    def misspoke(self, code: CloseCode, message: str) -> None:
        """Something came in that is no message."""
        self._control.misspoke(self._number, code, message)

    def gone(self) -> None:
        """The WebSocket is closed, however that came."""
        self._control.disconnected(self._number)


def _complaint(error: WireError | UnicodeDecodeError) -> str:
    return "messages are UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
