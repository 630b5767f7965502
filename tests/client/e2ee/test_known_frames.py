"""Frames that LiveKit's JavaScript opened, sealed and opened here byte for byte."""

import json
from pathlib import Path
from typing import TypedDict

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hushroom_client.e2ee import annex_b
from hushroom_client.e2ee.clear_prefix import join_sealed, split_annex_b, split_frame, split_sealed_annex_b
from hushroom_client.e2ee.keys import KeyMaterial, derive_step
from hushroom_client.e2ee.outcomes import Opened
from hushroom_client.e2ee.sealer import seal_with_iv
from hushroom_common.ids import Codec
from hushroom_common.sealed_frame import parse
from tests.client.e2ee.people import Receiver

PASSPHRASE = "correct horse"
FRAME_KEY = derive_step(KeyMaterial.of(PASSPHRASE)).frame_key


class KnownFrame(TypedDict):
    name: str
    kind: str
    codec: str | None
    key_index: int
    iv: str
    plaintext: str
    encrypted: str
    livekit_js_decrypts_to: str


VECTORS = Path(__file__).parents[2] / "vectors" / "livekit" / "frames.json"
KNOWN: list[KnownFrame] = json.loads(VECTORS.read_text())
OURS = [known for known in KNOWN if known["codec"] != "h265"]


def codec_of(known: KnownFrame) -> Codec:
    return Codec(known["codec"] or "opus")


@pytest.mark.parametrize("known", OURS, ids=lambda known: known["name"])
def test_seals_as_known(known: KnownFrame) -> None:
    codec = codec_of(known)
    clear, body = split_frame(bytes.fromhex(known["plaintext"]), codec)
    cipher = AESGCM(FRAME_KEY.reveal())
    sealed = seal_with_iv(cipher, clear, body, iv=bytes.fromhex(known["iv"]), key_index=known["key_index"])
    assert join_sealed(clear, sealed, codec).hex() == known["encrypted"]


@pytest.mark.parametrize("known", OURS, ids=lambda known: known["name"])
def test_opens_as_known(known: KnownFrame) -> None:
    receiver = Receiver(PASSPHRASE, codec_of(known), index=known["key_index"])
    outcome = receiver.opens(bytes.fromhex(known["encrypted"]))
    assert outcome == Opened(bytes.fromhex(known["livekit_js_decrypts_to"]), known["key_index"], step=0)


def test_h265_has_the_same_shape() -> None:
    """No room of ours carries H.265; its known answer holds the rules that it shares with H.264."""
    (known,) = [known for known in KNOWN if known["codec"] == "h265"]
    cipher = AESGCM(FRAME_KEY.reveal())
    clear, body = split_annex_b(bytes.fromhex(known["plaintext"]), annex_b.H265)
    sealed = seal_with_iv(cipher, clear, body, iv=bytes.fromhex(known["iv"]), key_index=known["key_index"])
    assert (clear + annex_b.escape(sealed)).hex() == known["encrypted"]
    clear, body = split_sealed_annex_b(bytes.fromhex(known["encrypted"]), annex_b.H265)
    parts = parse(body, 0)
    opened = clear + cipher.decrypt(parts.iv, parts.ciphertext_and_tag, clear)
    assert opened.hex() == known["livekit_js_decrypts_to"]
