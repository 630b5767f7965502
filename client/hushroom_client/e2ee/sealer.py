"""Seals encoded frames in LiveKit's format, whose layout is `hushroom_common.sealed_frame`."""

import os
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hushroom_client.e2ee.clear_prefix import is_supported, join_sealed, split_frame
from hushroom_client.e2ee.iv import IvSequence
from hushroom_client.e2ee.ratchet import SendingKeys
from hushroom_common.errors import HushroomError, WireError
from hushroom_common.ids import Codec
from hushroom_common.sealed_frame import assemble

__all__ = ["ForkedSealer", "FrameSealer", "UnsupportedCodec", "seal_with_iv"]


class ForkedSealer(HushroomError):
    """A sealer was used in a child of the process that made it: both would seal under the same IVs."""


class UnsupportedCodec(HushroomError):
    """Profile `lk1` has no form for this codec."""


class FrameSealer:
    """Seals the frames of one publication.

    IVs never repeat: each sealer draws its own random half and counts the other. A copy made by fork() is refused.
    """

    def __init__(
        self,
        keys: SendingKeys,
        *,
        entropy: Callable[[int], bytes] = os.urandom,
        process_id: Callable[[], int] = os.getpid,
    ) -> None:
        self._keys = keys
        self._ivs = IvSequence(entropy)
        self._process_id = process_id
        self._born_in = process_id()
        self.unsealable = 0
        """Frames that were dropped because they are none of their codec's."""

    @property
    def source(self) -> bytes:
        """What receivers pin to this publication's track: word 1 of its IVs."""
        return self._ivs.source

    def seal(self, frame: bytes, codec: Codec, *, now: float) -> bytes | None:
        """The sealed frame, or None where there is nothing to send: it is empty, too short, or no picture.

        `now` is monotonic seconds. Raises NoSendingKey, UnsupportedCodec or ForkedSealer; nothing is sent then either.
        """
        if self._process_id() != self._born_in:
            raise ForkedSealer("this process was forked from the sealer's: join the room anew here")
        if not is_supported(codec):
            raise UnsupportedCodec(f"profile lk1 can't seal {codec}: use VP8, VP9 or H.264")
        try:
            clear, body = split_frame(frame, codec)
        except WireError:
            self.unsealable += 1
            return None
        key = self._keys.take(now=now)
        iv = self._ivs.next()
        return join_sealed(clear, seal_with_iv(key.cipher, clear, body, iv=iv, key_index=key.key_index), codec)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a FrameSealer is not copied: its IVs would repeat")


def seal_with_iv(cipher: AESGCM, clear: bytes, body: bytes, *, iv: bytes, key_index: int) -> bytes:
    """The sealed body with its trailer. The caller must never use one IV twice with one key, in any process."""
    return assemble(b"", cipher.encrypt(iv, body, clear), iv, key_index)
