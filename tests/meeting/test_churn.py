"""People who come and go on a bad network, are killed, or whose server is told to stop."""

import asyncio
import time

import pytest

from hushroom_client import RejectReason
from hushroom_client.events import ConnectionLost, ParticipantLeft
from hushroom_common.signaling import CloseCode, LeaveReason
from tests.meeting.churn import churn
from tests.meeting.guests import attending, picture_of
from tests.plane.peers import eventually
from tests.support.processes import hushroom, server_process
from tests.support.server_child import server_child

CYCLES = 10


@pytest.mark.timeout(180)
async def test_ten_joins_and_leaves_freeze_nobody_and_leave_nothing() -> None:
    async with server_child() as server:
        verdict = await churn(server, lambda cycles: cycles >= CYCLES)
    print(verdict)
    assert 0.003 < verdict.loss < 0.03
    assert max(verdict.longest_freezes_s.values()) <= 1.0, verdict
    assert set(verdict.rejected) <= {RejectReason.MISSING_KEY}, "who has just come may not have everybody's key yet"
    assert verdict.after.legs == 0
    assert verdict.has_left_nothing, verdict
    assert verdict.growth_bytes <= 3_000_000, verdict.resident_bytes


@pytest.mark.timeout(120)
async def test_a_killed_client_is_noticed_and_the_others_talk_on() -> None:
    async with (
        server_process() as server,
        attending(server.url, "bo", passphrase=None) as bo,
        attending(server.url, "cy", passphrase=None) as cy,
        hushroom(
            "join", "standup", "--server", server.url, "--as", "ada", "--unsealed", "--publish", "test-pattern"
        ) as ada,
    ):
        await cy.room.publish(picture_of("cy"))
        await bo.sees("ada")
        cy_seen = await bo.sees("cy")
        assert await server.metric("hushroom_legs") == 5
        ada.process.kill()
        killed = time.monotonic()
        left = await bo.learns(ParticipantLeft, within_s=15)
        assert (left.participant.identity, left.reason) == ("ada", LeaveReason.CONNECTION_LOST)
        assert 5 < time.monotonic() - killed < 13, "noticed by its silence of 10 s"
        await cy_seen.shows(5)
        assert max(cy_seen.gaps_s()) <= 1.0
        assert await server.metric("hushroom_legs") == 3
        assert await server.metric("hushroom_participants") == 2


async def test_a_server_that_is_told_to_stop_tells_everybody_and_ends_well() -> None:
    async with (
        server_process() as server,
        attending(server.url, "bo") as bo,
        hushroom(
            "join", "standup", "--server", server.url, "--as", "ada", "--unsealed", "--publish", "test-pattern"
        ) as ada,
    ):
        await bo.room.publish(picture_of("bo"))
        await ada.says("joined standup")
        await eventually(lambda: bo.room.participants)
        server.process.terminate()
        assert (await bo.learns(ConnectionLost, within_s=5)).code is CloseCode.SERVER_DRAINING
        async with asyncio.timeout(5):
            lost = await bo.room.wait_closed()
        assert lost is not None
        assert await ada.ends(within_s=5) == 1
        assert "going down" in ada.errors[-1]
        assert await server.ends(within_s=5) == 0
        assert "Traceback" not in server.stderr + ada.stderr
