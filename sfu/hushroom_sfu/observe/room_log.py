"""Writes the life of rooms into the log, from the control plane's events."""

import logging

from pyee import EventEmitter

from hushroom_sfu.conversation.actions import RoomEvent, RoomEventKind
from hushroom_sfu.observe.logs import RoomTags, shortened

__all__ = ["RoomLog"]

log = logging.getLogger(__name__)

_LEVELS = {RoomEventKind.REQUEST_REFUSED: logging.DEBUG}
"""What a client can cause at will stays out of the log by default; the metrics count it."""


class RoomLog:
    """Listens on `events` for as long as it exists."""

    def __init__(self, events: EventEmitter, tags: RoomTags) -> None:
        self._tags = tags
        for kind in RoomEventKind:
            events.on(kind, self._write)

    def _write(self, event: RoomEvent) -> None:
        log.log(
            _LEVELS.get(event.kind, logging.INFO),
            event.kind.replace("_", " "),
            extra={
                "room": self._tags(event.room),
                "participant": None if event.participant is None else shortened(event.participant),
                "detail": event.detail or None,
            },
        )
