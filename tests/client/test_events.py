"""How events reach an application, and that there is a name for each."""

from typing import get_args

import pytest

from hushroom_client.event_hub import EventHub
from hushroom_client.events import EVENT_NAMES, ConnectionLost, Event, Reconnected, Reconnecting


def test_every_event_has_its_name_in_snake_case() -> None:
    assert set(EVENT_NAMES) == set(get_args(Event))
    for kind, name in EVENT_NAMES.items():
        assert name.replace("_", "") == kind.__name__.lower()


async def test_an_iterator_gets_all_in_order_and_ends_with_the_room() -> None:
    hub = EventHub(lambda: [Reconnecting()])
    stream = hub.stream()
    hub.emit(Reconnected())
    hub.emit(ConnectionLost("the end"))
    hub.close()
    assert [event async for event in stream] == [Reconnecting(), Reconnected(), ConnectionLost("the end")]
    assert [event async for event in hub.stream()] == [Reconnecting()]


async def test_a_reader_who_falls_behind_misses_the_oldest() -> None:
    hub = EventHub(list)
    stream = hub.stream()
    for number in range(1500):
        hub.emit(ConnectionLost(str(number)))
    hub.close()
    reasons = [event.reason async for event in stream if isinstance(event, ConnectionLost)]
    assert stream.missed == 476
    assert reasons == [str(number) for number in range(476, 1500)]


async def test_handlers_hear_what_is_there_then_what_comes_until_they_are_removed() -> None:
    hub = EventHub(lambda: [Reconnecting()])
    heard: list[Event] = []
    hub.add("reconnecting", heard.append)
    hub.add("reconnected", heard.append)
    assert heard == [Reconnecting()]
    hub.emit(Reconnected())
    hub.remove("reconnected", heard.append)
    hub.emit(Reconnected())
    assert heard == [Reconnecting(), Reconnected()]


async def test_a_handler_that_fails_keeps_nothing_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    hub = EventHub(list)
    heard: list[Event] = []

    def fails(_event: Event) -> None:
        raise RuntimeError("a bug of the application")

    hub.add("reconnected", fails)
    hub.add("reconnected", heard.append)
    hub.emit(Reconnected())
    assert heard == [Reconnected()]
    assert "a handler of reconnected failed" in caplog.text
