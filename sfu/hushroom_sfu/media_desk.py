"""Carries out on the media plane what the control plane says about legs, tracks and slots.

The control plane goes by names (publications, mids), the media plane by numbers; the table between them is here.
"""

import logging
from collections.abc import Callable

from hushroom_common.errors import WireError
from hushroom_common.ids import LegId, LegRole
from hushroom_sfu.conversation.actions import (
    AssignSlot,
    CloseLeg,
    ConnectLeg,
    LegEvent,
    LimitSlot,
    PublishTrack,
    ReleaseSlot,
    UnpublishTrack,
)
from hushroom_sfu.conversation.transport import Fingerprint, LocalTransport
from hushroom_sfu.core.down_track import DownTrackId
from hushroom_sfu.core.up_track import UpTrackId
from hushroom_sfu.plane.leg import CloseReason, Leg, LegState
from hushroom_sfu.plane.media_plane import MediaPlane
from hushroom_sfu.rooms.room import PublicationRef

__all__ = ["MediaAction", "MediaDesk", "OnLegEvent"]

log = logging.getLogger(__name__)

MediaAction = ConnectLeg | CloseLeg | PublishTrack | UnpublishTrack | AssignSlot | LimitSlot | ReleaseSlot

OnLegEvent = Callable[[LegId, LegEvent], None]

_EVENTS = {
    CloseReason.SILENT: LegEvent.SILENT,
    CloseReason.PEER_CLOSED: LegEvent.CLOSED,
    CloseReason.NO_PATH: LegEvent.FAILED,
    CloseReason.HANDSHAKE_FAILED: LegEvent.FAILED,
    CloseReason.LOCAL: LegEvent.FAILED,  # news only where this desk gave the leg up by itself
}


class MediaDesk:
    """One plane's legs with their tracks and slots. What refers to a leg that closed by itself is skipped."""

    def __init__(self, plane: MediaPlane, on_leg_event: OnLegEvent) -> None:
        self._plane = plane
        self._on_leg_event = on_leg_event
        self._legs: dict[LegId, Leg] = {}
        self._tracks: dict[PublicationRef, tuple[LegId, UpTrackId]] = {}
        self._slots: dict[LegId, dict[str, DownTrackId]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of any leg or track."""
        return not (self._legs or self._slots or self._tracks)

    def open_leg(self, role: LegRole) -> tuple[LegId, LocalTransport]:
        """A new leg and what SDP says of it."""
        leg = self._plane.open_leg(role, lambda state, reason: self._changed(leg.id, state, reason))
        self._legs[leg.id] = leg
        self._slots[leg.id] = {}
        return leg.id, self._local(leg)

    def restart_ice(self, leg_id: LegId) -> LocalTransport | None:
        """What SDP says of a leg after an ICE restart; None if it closed by itself."""
        leg = self._legs.get(leg_id)
        if leg is None:
            return None
        leg.restart_ice()
        return self._local(leg)

    def carry_out(self, action: MediaAction) -> None:
        """Do what the control plane says."""
        match action:
            case ConnectLeg():
                self._connect(action)
            case CloseLeg(leg_id):
                self._close(leg_id)
            case PublishTrack(leg_id, ref, spec):
                if leg_id in self._legs:
                    self._tracks[ref] = leg_id, self._plane.publish(leg_id, spec)
            case UnpublishTrack(ref):
                published = self._tracks.pop(ref, None)
                if published is not None and published[0] in self._legs:
                    self._plane.unpublish(published[1])
            case AssignSlot():
                self._assign(action)
            case LimitSlot(leg_id, mid, max_temporal_id):
                slot = self._slot(leg_id, mid)
                if slot is not None:
                    self._plane.limit(slot, max_temporal_id)
            case ReleaseSlot(leg_id, mid):
                slot = self._slot(leg_id, mid)
                if slot is not None:
                    self._plane.release(slot)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _local(self, leg: Leg) -> LocalTransport:
        credentials = leg.credentials
        return LocalTransport(
            credentials.ufrag, credentials.password, Fingerprint(*leg.fingerprints[0]), self._plane.candidates
        )

    def _connect(self, action: ConnectLeg) -> None:
        leg = self._legs.get(action.leg)
        if leg is None:
            return
        remote = action.remote
        try:
            leg.connect(remote.ice_ufrag, remote.fingerprints)
        except WireError:
            log.warning("leg given up: its peer stated another certificate", extra={"leg": action.leg})
            leg.close()

    def _close(self, leg_id: LegId) -> None:
        leg = self._legs.get(leg_id)
        if leg is not None:
            leg.close()  # `_changed` forgets it

    def _assign(self, action: AssignSlot) -> None:
        published = self._tracks.get(action.ref)
        slots = self._slots.get(action.leg)
        if slots is None or published is None or published[0] not in self._legs:
            return
        slot = slots.get(action.spec.mid)
        if slot is None:
            slot = slots[action.spec.mid] = self._plane.open_slot(action.leg, action.spec)
        try:
            self._plane.assign(slot, published[1], action.max_temporal_id)
        except ValueError:
            log.warning("a slot cannot carry what it was given", extra={"leg": action.leg})

    def _slot(self, leg_id: LegId, mid: str) -> DownTrackId | None:
        return self._slots.get(leg_id, {}).get(mid)

    def _changed(self, leg_id: LegId, state: LegState, reason: CloseReason | None) -> None:
        if state is LegState.CONNECTED:
            self._on_leg_event(leg_id, LegEvent.CONNECTED)
        elif state is LegState.CLOSED:
            self._legs.pop(leg_id, None)
            self._slots.pop(leg_id, None)
            self._on_leg_event(leg_id, LegEvent.FAILED if reason is None else _EVENTS[reason])
