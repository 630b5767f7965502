"""What the command says to people about a room. Pure: facts in, words out."""

from hushroom_client.e2ee import E2EEState
from hushroom_client.events import (
    E2EEStateChanged,
    Event,
    ParticipantJoined,
    ParticipantLeft,
    Reconnected,
    Reconnecting,
    TrackMuted,
)
from hushroom_client.stats import RoomStats
from hushroom_common.signaling import LeaveReason

__all__ = ["note", "sealing_in_words", "status"]

_LEFT = {
    LeaveReason.LEFT: "left",
    LeaveReason.JOINED_ELSEWHERE: "joined again from elsewhere",
    LeaveReason.CONNECTION_LOST: "lost the connection",
    LeaveReason.REMOVED: "was removed",
}
_NAMED = 6


def sealing_in_words(profile: str, is_sealed: bool) -> str:
    """How the room's media is protected."""
    return f"sealed end to end ({profile})" if is_sealed else "NOT SEALED: the server can see and hear everything"


def status(others: dict[str, E2EEState], stats: RoomStats, *, is_sealed: bool) -> str:
    """One line about everything: participants and how it stands with them, frames, bitrates."""
    if not others:
        people = "nobody else is here"
    else:
        named = [f"{name}: {state}" for name, state in sorted(others.items())]
        more = [f"and {len(named) - _NAMED} more"] if len(named) > _NAMED else []
        people = f"{len(others) + 1} participants ({', '.join(named[:_NAMED] + more)})"
    rejected = stats.rejected
    reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in sorted(rejected.items()))
    frames = f"opened {stats.opened}" if is_sealed else f"received {stats.opened}"
    if is_sealed:
        frames += f", rejected {sum(rejected.values())}" + (f" ({reasons})" if reasons else "")
    rates = f"in {stats.received_bps / 1000:.0f} kb/s, out {stats.sent_bps / 1000:.0f} kb/s"
    return " | ".join([people, frames, rates, "sealed" if is_sealed else "NOT SEALED"])


def note(event: Event, *, is_sealed: bool) -> str | None:
    """What to say about an event; None for nothing."""
    text: str | None = None
    match event:
        case ParticipantJoined(participant):
            text = f"{participant.identity} is here"
        case ParticipantLeft(participant, reason):
            text = f"{participant.identity} {_LEFT[reason]}"
        case TrackMuted(participant, track, is_muted):
            text = f"{participant.identity} {'muted' if is_muted else 'unmuted'} his {track.source.replace('_', ' ')}"
        case E2EEStateChanged(participant, state):
            text = _about_frames(participant.identity, state, is_sealed=is_sealed)
        case Reconnecting():
            text = "the server is gone; trying to reach it again"
        case Reconnected():
            text = "connected again"
    return text


def _about_frames(name: str, state: E2EEState, *, is_sealed: bool) -> str | None:
    match state:
        case E2EEState.DIFFERENT_KEY:
            return f"cannot open {name}'s frames: different key?"
        case E2EEState.MISSING_KEY if is_sealed:
            return f"cannot open {name}'s frames: no key for them"
        case E2EEState.MISSING_KEY:
            return f"{name} seals what he sends: it is not played in an unsealed room"
        case E2EEState.NOT_SEALED if is_sealed:
            return f"{name} does not seal what he sends: it is not played"
    return None
