"""Golden traces: packets in, packets out, as text."""

from pathlib import Path

import pytest

from tests.support.traces import Trace

TRACES = sorted((Path(__file__).parents[2] / "vectors" / "forwarder").glob("*.txt"))


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_the_forwarder_does_what_the_trace_says(path: Path) -> None:
    trace = path.read_text()
    assert Trace().replay(trace).splitlines() == trace.splitlines()


def test_there_are_traces() -> None:
    assert len(TRACES) >= 6
