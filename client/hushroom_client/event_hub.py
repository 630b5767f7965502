"""How events reach the application: pyee handlers, called at once, and bounded streams to iterate over."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import TypeVar, cast

from pyee import EventEmitter

from hushroom_client.events import EVENT_NAMES, Event

__all__ = ["EventHub", "EventStream", "EventT"]

log = logging.getLogger(__name__)

EventT = TypeVar("EventT")

_STREAM_LIMIT = 1024


class EventStream:
    """An async iterator over a room's events that ends with the room. Iterate over it from one task.

    A reader that falls more than 1024 events behind misses the oldest; `missed` counts them.
    """

    def __init__(self, forget: Callable[["EventStream"], None]) -> None:
        self._forget = forget
        self._waiting: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False
        self.missed = 0

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._is_closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()

    def push(self, event: Event) -> None:
        """Adds an event."""
        self._waiting.append(event)
        if len(self._waiting) > _STREAM_LIMIT:
            self._waiting.popleft()
            self.missed += 1
        self._changed.set()

    def close(self) -> None:
        """Ends the stream after what waits in it; may be called twice."""
        self._is_closed = True
        self._changed.set()
        self._forget(self)


class EventHub:
    """Hands every event to all who want it. `present` tells what there is already, as events, to who comes late."""

    def __init__(self, present: Callable[[], Iterable[Event]]) -> None:
        self._present = present
        self._emitter = EventEmitter()
        self._streams: list[EventStream] = []
        self._is_closed = False

    def add(self, name: str, handler: Callable[[EventT], object]) -> None:
        """Calls a plain function with each such event from now on, and first for what is there already.

        Raises ValueError for a name that no event has, and TypeError for a coroutine function.
        """
        if name not in EVENT_NAMES.values():
            raise ValueError(f"no event is called {name!r}: there are {', '.join(EVENT_NAMES.values())}")
        if iscoroutinefunction(handler):
            raise TypeError("a handler is a plain function; to await something, iterate over room.events()")
        self._emitter.add_listener(name, handler)
        for event in self._present():
            if EVENT_NAMES[type(event)] == name:
                _call(handler, cast(EventT, event))  # its name is the one that the handler is for

    def remove(self, name: str, handler: Callable[[EventT], object]) -> None:
        """Calls it no more."""
        self._emitter.remove_listener(name, handler)

    def stream(self) -> EventStream:
        """A stream of all events from now on, that begins with what is there already."""
        stream = EventStream(self._forget)
        for event in self._present():
            stream.push(event)
        if self._is_closed:
            stream.close()
        else:
            self._streams.append(stream)
        return stream

    def emit(self, event: Event) -> None:
        """Something happened. What handlers raise is logged: it must not reach the others, nor the room."""
        for stream in tuple(self._streams):
            stream.push(event)
        for handler in self._emitter.listeners(EVENT_NAMES[type(event)]):
            _call(handler, event)

    def close(self) -> None:
        """Ends all streams; nothing happens any more."""
        self._is_closed = True
        for stream in tuple(self._streams):
            stream.close()

    def _forget(self, stream: EventStream) -> None:
        if stream in self._streams:
            self._streams.remove(stream)


def _call(handler: Callable[[EventT], object], event: EventT) -> None:
    try:
        handler(event)
    except Exception:
        log.exception("a handler of %s failed", EVENT_NAMES[type(event)])
