"""Puts the packets of one stream back in order and into whole frames, and decides when to stop waiting.

A pure state machine: packets and `now` in, frames out. A frame starts and ends where its depacketizer says so (or ends
where the next one starts), with every sequence number between present. What cannot be completed in
time is given up; a video decoder then gets nothing before the next keyframe. Sends nothing: see `track_receiver`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hushroom_client.media.depacketizer import Fragment

__all__ = ["AssembledFrame", "JitterBuffer", "OrderedPacket"]


@dataclass(frozen=True, slots=True)
class OrderedPacket:
    """One received packet: `index` and `timestamp` are extended, `arrived_at` is monotonic seconds.

    `fragment` is None for a packet that fills its sequence number and carries nothing: padding only, unreadable, or of
    a payload type that was not negotiated.
    """

    index: int
    timestamp: int
    arrived_at: float
    fragment: Fragment | None


@dataclass(frozen=True, slots=True)
class AssembledFrame:
    """The packets of one whole frame, in order; never empty, each with a fragment."""

    packets: tuple[OrderedPacket, ...]

    @property
    def start(self) -> Fragment:
        """The fragment that starts the frame."""
        fragment = self.packets[0].fragment
        assert fragment is not None
        return fragment

    @property
    def data(self) -> bytes:
        """The frame as its sender packetized it."""
        return b"".join(packet.fragment.data for packet in self.packets if packet.fragment is not None)


class JitterBuffer:
    """Holds at most `capacity` packets, and a hole in the sequence for at most `hold_s` seconds.

    With `needs_keyframes` (video), nothing is delivered before the first keyframe, nor from a loss to the next one;
    the owner asks for keyframes while `awaits_keyframe`. Without (sound), delivery goes on behind the hole at once.
    """

    def __init__(self, *, hold_s: float, capacity: int, needs_keyframes: bool) -> None:
        self._hold_s = hold_s
        self._capacity = capacity
        self._needs_keyframes = needs_keyframes
        self._awaits_keyframe = needs_keyframes
        self._packets: dict[int, OrderedPacket] = {}
        self._keyframe_starts: set[int] = set()
        self._done = 0  # everything before it is delivered or given up
        self._head: int | None = None  # where delivery goes on: at `_done`, or further on since a (re)start
        self._scanned = 0  # the first frame is known to be contiguous up to here, exclusive
        self._hole: tuple[int, float] | None = None  # the number that is waited for, and since when
        self._last_start: Fragment | None = None
        self.losses = 0
        """How often delivery was broken by packets that never came."""

    @property
    def awaits_keyframe(self) -> bool:
        """Whether every frame but a keyframe would be dropped now."""
        return self._awaits_keyframe

    @property
    def holds_keyframe_start(self) -> bool:
        """Whether a keyframe is on its way: its first packet is here."""
        return bool(self._keyframe_starts)

    def await_keyframe(self) -> None:
        """Deliver nothing more before the next keyframe; for sound this changes nothing."""
        self._awaits_keyframe = self._needs_keyframes

    def clear(self) -> None:
        """Drop what is held and start anew with the next packet, as after a change of what the stream carries."""
        self._packets.clear()
        self._keyframe_starts.clear()
        self._head = None
        self._hole = None
        self._last_start = None
        self.await_keyframe()

    def insert(self, packet: OrderedPacket) -> bool:
        """Take in one packet; False for a duplicate and for one that comes too late."""
        index = packet.index
        if index < self._done or index in self._packets:
            return False
        if self._head is not None and index >= self._head + self._capacity:
            self.losses += 1
            self.clear()
        if self._head is None:
            self._start_at(packet)
        elif self._done < self._head and index <= self._head:  # the (re)start's first packets were overtaken
            if index < self._head - self._capacity // 2:
                return False
            self._start_at(packet)
        self._packets[index] = packet
        if packet.fragment is not None and packet.fragment.starts_frame and packet.fragment.is_keyframe:
            self._keyframe_starts.add(index)
        if self._hole is not None and index == self._hole[0]:
            self._hole = None
        return True

    def take(self, now: float) -> list[AssembledFrame]:
        """The frames that may be delivered by now, in order. Gives up what was waited for too long."""
        frames: list[AssembledFrame] = []
        while self._packets:
            self._seek_keyframe()
            if not self._step(now, frames):
                break
        return frames

    def next_deadline(self) -> float | None:
        """When to call `take` although no packet came: the end of the wait for the oldest hole."""
        return None if self._hole is None else self._hole[1] + self._hold_s

    # --- one step of delivery -----------------------------------------------------------------------------------

    def _seek_keyframe(self) -> None:
        """While only a keyframe helps, nothing in front of one is worth a wait."""
        if self._awaits_keyframe and self._keyframe_starts:
            start = min(self._keyframe_starts)
            if start != self._head:
                self._drop_until(start)

    def _step(self, now: float, frames: list[AssembledFrame]) -> bool:
        """Move the head on by one frame, filler, fragment without its start or given-up hole; False if it must wait."""
        head = self._head
        assert head is not None
        first = self._packets.get(head)
        if first is None:
            return self._give_up(head, now)
        if first.fragment is None:
            self._drop_until(head + 1)
            return True
        if not first.fragment.starts_frame:
            self._lose()
            self._drop_until(head + 1)
            return True
        return self._step_frame(first, first.fragment, now, frames)

    def _step_frame(self, first: OrderedPacket, start: Fragment, now: float, frames: list[AssembledFrame]) -> bool:
        head = first.index
        end = max(self._scanned, head + 1)
        while not self._ends_frame(end - 1):
            packet = self._packets.get(end)
            if packet is None:
                self._scanned = end
                return self._give_up(end, now)
            if packet.fragment is None:
                # Senders pad between frames only: a filler here stands for a packet that is lost for good.
                self._lose()
                self._drop_until(end + 1)
                return True
            if packet.fragment.starts_frame:
                break
            if packet.timestamp != first.timestamp or packet.fragment.codec is not start.codec:
                self._lose()
                self._drop_until(end)
                return True
            end += 1
        self._deliver(AssembledFrame(tuple(self._packets[index] for index in range(head, end))), frames)
        self._drop_until(end)
        return True

    def _ends_frame(self, index: int) -> bool:
        fragment = self._packets[index].fragment
        return fragment is not None and fragment.ends_frame

    def _deliver(self, frame: AssembledFrame, frames: list[AssembledFrame]) -> None:
        start = frame.start
        if self._needs_keyframes and not start.is_keyframe:
            if not self._awaits_keyframe and self._last_start is not None and not start.follows(self._last_start):
                self._lose()  # a whole frame is missing although every number was filled
            if self._awaits_keyframe:
                return
        self._awaits_keyframe = False
        self._last_start = start
        frames.append(frame)

    # --- holes --------------------------------------------------------------------------------------------------

    def _give_up(self, missing: int, now: float) -> bool:
        """Whether the wait for `missing` is over; then the frame around it is dropped. Otherwise, note the wait."""
        if self._hole is None or self._hole[0] != missing:
            waiting = [packet.arrived_at for index, packet in self._packets.items() if index > missing]
            if not waiting:
                self._hole = None
                return False
            self._hole = (missing, min(waiting))
        if now < self._hole[1] + self._hold_s:
            return False
        self._lose()
        self._drop_until(min(index for index in self._packets if index > missing))
        return True

    def _lose(self) -> None:
        self.losses += 1
        self.await_keyframe()

    def _drop_until(self, head: int) -> None:
        """Move the head on; what lies before it is done with."""
        assert self._head is not None
        passed: Iterable[int] = range(self._head, head)
        if len(self._packets) < head - self._head:
            passed = [index for index in self._packets if index < head]
        for index in passed:
            self._packets.pop(index, None)
            self._keyframe_starts.discard(index)
        self._head = self._scanned = self._done = head
        self._hole = None

    def _start_at(self, packet: OrderedPacket) -> None:
        """Start at the first packet to arrive; if a decoder could not, as if the one before it were missing."""
        fragment = packet.fragment
        can_start = not self._needs_keyframes or (fragment is not None and fragment.is_keyframe)
        head = packet.index if can_start else packet.index - 1
        self._head = self._scanned = max(head, self._done)
        self._hole = None
        for index in [index for index in self._packets if index >= self._head + self._capacity]:
            del self._packets[index]
            self._keyframe_starts.discard(index)
