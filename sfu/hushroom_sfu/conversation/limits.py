"""How much of everything the control plane allows. Defaults as in docs/protocol.md."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what clients can make the server hold or do. Each is reached exactly, never passed."""

    participants_per_room: int = 64
    tracks_per_participant: int = 8
    seats_per_subscriber: int = 64
    """Bounded by the client's answer, which must fit into a message of 64 KiB: with the transport's attributes on the
    first m-line alone it has 0.6 kB a seat (docs/protocol.md). aiortc's own, unshortened, reaches 16 seats."""
    unjoined_connections: int = 200
    messages_per_s: int = 50
    join_timeout_s: float = 10.0
    resume_window_s: float = 30.0
    subscriber_retry_s: tuple[float, ...] = (0.0, 5.0, 10.0, 20.0, 30.0)
    """How long after its loss a subscriber leg is offered anew, by the number of losses in a row; the last repeats."""
