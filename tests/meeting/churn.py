"""Joins and leaves in a row on a bad network, while two others talk: what froze, and what was left behind."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hushroom_client import Audio
from hushroom_common.ids import Kind
from tests.meeting.guests import Guest, View, attending, picture_of
from tests.support.lossy_udp import lossy_relay
from tests.support.server_child import ServerChild, Usage

__all__ = ["Verdict", "churn"]

Stop = Callable[[int], bool]
"""Asked before each cycle, with the number of those that are done."""


@dataclass
class Verdict:
    """What a run of cycles showed."""

    before: Usage
    """The server with nobody in it."""
    after: Usage
    own_before: tuple[int, int]
    """Tasks and descriptors of this process, which has all the clients."""
    own_after: tuple[int, int]
    resident_bytes: list[int] = field(default_factory=list)
    """Of the server, after each cycle."""
    longest_freezes_s: dict[str, float] = field(default_factory=dict)
    """By who watched whom: the longest time without a newly opened picture, by RTP time."""
    rejected: dict[str, int] = field(default_factory=dict)
    loss: float = 0.0

    @property
    def growth_bytes(self) -> int:
        """How much more the server holds in the end than after the second cycle."""
        return self.after.resident_bytes - self.resident_bytes[1]

    @property
    def has_left_nothing(self) -> bool:
        """Whether nobody, no leg, task or descriptor is there that was not there before, at either end."""
        return replace(self.after, resident_bytes=0) == replace(self.before, resident_bytes=0) and (
            self.own_after == self.own_before
        )

    def __str__(self) -> str:
        worst = max(self.longest_freezes_s, key=self.longest_freezes_s.__getitem__)
        return (
            f"{len(self.resident_bytes)} cycles at {100 * self.loss:.1f} % loss: longest freeze"
            f" {self.longest_freezes_s[worst]:.2f} s ({worst}), server {self.after.resident_bytes / 1e6:.1f} MB,"
            f" {self.growth_bytes / 1e6:+.2f} MB since cycle 2, {self.after.legs} legs, tasks {self.before.tasks} ->"
            f" {self.after.tasks}, descriptors {self.before.descriptors} -> {self.after.descriptors}"
        )


async def churn(
    server: ServerChild,
    is_over: Stop,
    *,
    loss: float = 0.01,
    seed: int = 7,
    show: Callable[[str], None] = lambda text: None,
) -> Verdict:
    """Ada and Bo talk; Cy comes, publishes, watches both, and leaves, until it is over. Every 20th cycle is shown."""
    before, own_before = await server.usage(), _own_usage()
    verdict = Verdict(before, before, own_before, own_before)
    async with lossy_relay(server.udp_port, seed=seed) as network:
        await server.announce(network.port)
        network.lose_everywhere(loss)
        async with attending(server.url, "ada") as ada, attending(server.url, "bo") as bo:
            for stayer in (ada, bo):
                await stayer.room.publish(picture_of(stayer.room.identity))
                await stayer.room.publish(Audio.test_tone())
            talking = [await ada.sees("bo"), await bo.sees("ada")]
            cycle = 0
            while not is_over(cycle):
                cycle += 1
                await _come_and_go(server, verdict, (ada, bo), f"cy {cycle}")
                if cycle % 20 == 0:
                    show(f"{cycle} cycles, server {verdict.resident_bytes[-1] / 1e6:.1f} MB")
            for stayer, view in zip((ada, bo), talking, strict=True):
                _judge(verdict, stayer, view)
                _count_rejected(verdict, stayer)
        verdict.loss = network.loss
    verdict.after = await _settled(server, before)
    verdict.own_after = _own_usage()
    return verdict


async def _come_and_go(server: ServerChild, verdict: Verdict, stayers: tuple[Guest, Guest], name: str) -> None:
    async with attending(server.url, "cy") as cy:
        await cy.room.publish(picture_of("cy"))
        views = [(cy, await cy.sees(stayer.room.identity)) for stayer in stayers]
        views += [(stayer, await stayer.sees("cy")) for stayer in stayers]
        await cy.sees("ada", Kind.AUDIO)
        await asyncio.gather(*(view.shows(15) for _, view in views))
        for watcher, view in views:
            _judge(verdict, watcher, view, name)
        _count_rejected(verdict, cy)
    verdict.resident_bytes.append((await server.usage()).resident_bytes)


def _judge(verdict: Verdict, watcher: Guest, view: View, name: str = "") -> None:
    what = f"{watcher.room.identity} of {view.track.participant.identity}{name and ' in ' + name}"
    verdict.longest_freezes_s[what] = max(view.gaps_s())


def _count_rejected(verdict: Verdict, watcher: Guest) -> None:
    for reason, count in watcher.rejected().items():
        verdict.rejected[reason] = verdict.rejected.get(reason, 0) + count


async def _settled(server: ServerChild, before: Usage) -> Usage:
    """The server once everybody is gone, or after a while if something stays."""
    usage = await server.usage()
    for _ in range(100):
        if (usage.legs, usage.tasks, usage.descriptors) == (before.legs, before.tasks, before.descriptors):
            break
        await asyncio.sleep(0.05)
        usage = await server.usage()
    return usage


def _own_usage() -> tuple[int, int]:
    return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
