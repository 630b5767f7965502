"""The whole way at once: two commands, a file each, a server between; each records the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.judges import judge_pictures, judge_sync, judge_tone
from tests.support.processes import Command, hushroom, server_process
from tests.support.talk_media import TONE_HZ, Talk, make_talk

LONG_ENOUGH_S = 60


@asynccontextmanager
async def joining(url: str, name: str, folder: Path, passphrase: Path) -> AsyncIterator[Command]:
    async with hushroom(
        *("join", "standup", "--server", url, "--as", name, "--profile", "lk1", "--passphrase-file", passphrase),
        *("--publish", folder / "talk.mp4", "--record", folder / f"of {name}", "--wait-for", "1"),
    ) as command:
        yield command


@pytest.mark.timeout(240)
async def test_each_of_two_records_the_other_whole_true_and_in_sync(tmp_path: Path) -> None:
    talk = Talk(width=640, height=360, fps=30, duration_s=20)
    await asyncio.to_thread(make_talk, tmp_path / "talk.mp4", talk)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("seven words that nobody else would say\n")
    async with (
        server_process() as server,
        joining(server.url, "ada", tmp_path, passphrase) as ada,
        joining(server.url, "bo", tmp_path, passphrase) as bo,
    ):
        assert await ada.ends(within_s=LONG_ENOUGH_S) == 0, ada.stderr
        assert await bo.ends(within_s=LONG_ENOUGH_S) == 0, bo.stderr
    for watcher, shown in (("ada", "bo"), ("bo", "ada")):
        recording = tmp_path / f"of {watcher}" / f"{shown}.webm"
        pictures = await asyncio.to_thread(judge_pictures, recording, talk)
        tone = await asyncio.to_thread(judge_tone, recording)
        sync = await asyncio.to_thread(judge_sync, recording, talk)
        print(
            f"\n{watcher} of {shown}: {100 * pictures.fraction_in_order:.1f} % in order, mean error"
            f" {pictures.mean_error:.2f}, tone {tone.frequency_hz:.1f} Hz, sync median {sync.median_ms:+.1f} ms,"
            f" worst {sync.worst_ms:+.1f} ms over {len(sync.offsets_ms)} marks"
        )
        assert pictures.fraction_in_order >= 0.97
        assert pictures.unreadable == 0
        assert pictures.mean_error <= 6
        assert abs(tone.frequency_hz - TONE_HZ) <= 5
        assert len(sync.offsets_ms) >= 18
        assert abs(sync.worst_ms) <= 50
