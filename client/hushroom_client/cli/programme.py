"""What `--publish` names, as things to publish: the picture and the sound of a file, or the test pattern."""

import asyncio
from pathlib import Path

from hushroom_client.cli.arguments import TEST_PATTERN
from hushroom_client.media.container import OpenFile
from hushroom_client.media.errors import MediaError
from hushroom_client.media.sources import Audio, Video

__all__ = ["programme"]


async def programme(name: str) -> list[Video | Audio]:
    """What a file has of both. Raises MediaError for one that has neither, or cannot be read."""
    if name == TEST_PATTERN:
        return [Video.test_pattern(), Audio.test_tone()]
    has_picture, has_sound = await asyncio.to_thread(_look_into, Path(name))
    if not (has_picture or has_sound):
        raise MediaError(f"cannot publish {name}: it has neither picture nor sound")
    return [Video.file(name)] * has_picture + [Audio.file(name)] * has_sound


def _look_into(path: Path) -> tuple[bool, bool]:
    container = OpenFile.open(path).container
    try:
        return bool(container.streams.video), bool(container.streams.audio)
    finally:
        container.close()
