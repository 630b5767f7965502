"""People who come and go on a bad network, are killed, or whose server is told to stop."""

import pytest

from hushroom_client import RejectReason
from tests.meeting.churn import churn
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
    assert (verdict.after.legs, verdict.after.participants, verdict.after.websockets) == (0, 0, 0)
    assert (verdict.after.tasks, verdict.after.descriptors) == (verdict.before.tasks, verdict.before.descriptors)
    assert verdict.own_after == verdict.own_before
    assert verdict.growth_bytes <= 3_000_000, verdict.resident_bytes
    assert verdict.after.internal_errors == 0
