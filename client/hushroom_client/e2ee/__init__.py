"""End-to-end sealing: keys, sealers and openers. All pure but `manager` and `derivations`."""

from hushroom_client.e2ee.key_providers import KeyProvider, ParticipantKeyProvider, SharedKeyProvider
from hushroom_client.e2ee.manager import E2EEManager
from hushroom_client.e2ee.outcomes import Dropped, Opened, Outcome, Rejected, RejectReason
from hushroom_client.e2ee.participant_state import E2EEState
from hushroom_client.e2ee.ratchet import NoSendingKey, Ratchet
from hushroom_client.e2ee.sealer import FrameSealer, UnsupportedCodec
from hushroom_client.e2ee.tracks import TrackOpener, TrackSealer

__all__ = [
    "Dropped",
    "E2EEManager",
    "E2EEState",
    "FrameSealer",
    "KeyProvider",
    "NoSendingKey",
    "Opened",
    "Outcome",
    "ParticipantKeyProvider",
    "Ratchet",
    "RejectReason",
    "Rejected",
    "SharedKeyProvider",
    "TrackOpener",
    "TrackSealer",
    "UnsupportedCodec",
]
