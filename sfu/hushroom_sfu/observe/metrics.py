"""What is counted. Labels are words of ours: no room, participant or address is in them."""

import os
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pyee import EventEmitter

from hushroom_common.signaling import CloseCode
from hushroom_sfu.conversation.actions import LegEvent, RoomEvent, RoomEventKind
from hushroom_sfu.conversation.switchboard import Counts
from hushroom_sfu.observe.exposition import Counter, Family, Gauge
from hushroom_sfu.plane.drops import Drop

__all__ = ["LifecycleTally", "Readings", "families"]


class LifecycleTally:
    """Counts the control plane's events for as long as it exists."""

    def __init__(self, events: EventEmitter) -> None:
        self.lifecycle: Tally[str] = Tally()
        self.refusals: Tally[str] = Tally()
        self.closures: Tally[str] = Tally()
        self.legs_lost: Tally[str] = Tally()
        for kind in RoomEventKind:
            events.on(kind, self._count)
        events.on("closed", self._count_closure)

    def _count(self, event: RoomEvent) -> None:
        self.lifecycle[event.kind] += 1
        if event.kind is RoomEventKind.REQUEST_REFUSED:
            self.refusals[event.detail.rpartition(" ")[2]] += 1
        elif event.kind is RoomEventKind.LEG_LOST:
            self.legs_lost[event.detail.rpartition(" ")[2]] += 1

    def _count_closure(self, code: CloseCode | None) -> None:
        self.closures["left" if code is None else code] += 1


@dataclass(frozen=True, slots=True)
class Readings:
    """What is read off the running server when somebody asks."""

    counts: Counts
    plane_legs: int
    history_bytes: int
    datagram_drops: Mapping[Drop, int]
    packet_drops: Mapping[str, int]
    slow_readers: int
    failures: int


def families(tally: LifecycleTally, now: Readings) -> list[Family]:
    """All metrics of a server."""
    counts = now.counts
    return [
        Gauge("hushroom_rooms", "Rooms with somebody in them.", counts.rooms),
        Gauge("hushroom_participants", "Participants in all rooms.", counts.participants),
        Gauge("hushroom_publications", "Published tracks.", counts.publications),
        Gauge("hushroom_legs", "Peer connections of clients.", now.plane_legs),
        Gauge("hushroom_websockets", "Open WebSockets.", counts.connections),
        Gauge("hushroom_unjoined_websockets", "Open WebSockets that have not joined.", counts.unjoined_connections),
        Gauge("hushroom_history_bytes", "Payload bytes kept for retransmission.", now.history_bytes),
        Counter("hushroom_joins_total", "Joins.", tally.lifecycle[RoomEventKind.PARTICIPANT_JOINED]),
        Counter(
            "hushroom_lifecycle_total",
            "Steps in the life of rooms.",
            _with_zeros(RoomEventKind, tally.lifecycle),
            "event",
        ),
        Counter("hushroom_refusals_total", "Requests refused.", _with_zeros(CloseCode, tally.refusals), "code"),
        Counter(
            "hushroom_closed_total",
            "WebSockets closed by the server or left by their clients.",
            _with_zeros([*CloseCode, "left"], tally.closures),
            "code",
        ),
        Counter(
            "hushroom_legs_lost_total",
            "Peer connections that ended by themselves.",
            _with_zeros([event for event in LegEvent if event is not LegEvent.CONNECTED], tally.legs_lost),
            "reason",
        ),
        Counter(
            "hushroom_dropped_datagrams_total",
            "Datagrams dropped at the UDP port.",
            _with_zeros(Drop, now.datagram_drops),
            "reason",
        ),
        Counter(
            "hushroom_dropped_packets_total", "Packets dropped by the forwarder.", dict(now.packet_drops), "reason"
        ),
        Counter(
            "hushroom_slow_readers_total", "WebSockets cut off because their client did not read.", now.slow_readers
        ),
        Counter("hushroom_internal_errors_total", "Mistakes of the server's own that it survived.", now.failures),
        *_process(),
    ]


def _with_zeros(names: Iterable[StrEnum | str], tally: Mapping[str, int] | Mapping[Drop, int]) -> dict[str, float]:
    seen = {str(name): float(count) for name, count in tally.items()}
    return {str(name): 0.0 for name in names} | seen


def _process() -> list[Family]:
    """The process itself, under the names that all Prometheus clients use; nothing where there is no /proc."""
    try:
        resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
        open_fds = len(os.listdir("/proc/self/fd"))
    except OSError:
        return []
    return [
        Gauge("process_resident_memory_bytes", "Resident memory.", resident_pages * os.sysconf("SC_PAGE_SIZE")),
        Gauge("process_open_fds", "Open file descriptors.", open_fds),
    ]
