"""Tokens over the life of a session: coming in, renewing, running out."""

import pytest

from hushroom_common.ids import Identity, RoomId, Source
from hushroom_common.signaling.messages import (
    CloseCode,
    Joined,
    LeaveReason,
    ParticipantLeft,
    Refused,
    RenewToken,
    TokenRenewed,
)
from hushroom_sfu.conversation.session import Grants
from tests.support.control_plane import STANDUP, Client, Server

ADA, BO = Identity("ada"), Identity("bo")


@pytest.fixture
def server() -> Server:
    return Server(
        tokens={
            "ada": Grants(STANDUP, ADA, expires_at=100.0),
            "ada-renewed": Grants(STANDUP, ADA, expires_at=200.0),
            "ada-listens": Grants(STANDUP, ADA, may_publish=False, expires_at=200.0),
            "ada-speaks": Grants(STANDUP, ADA, may_subscribe=False, expires_at=200.0),
            "ada-retro": Grants(RoomId("retro"), ADA, expires_at=200.0),
            "bo": Grants(STANDUP, BO),
        }
    )


def test_a_token_says_what_one_may_and_until_when(server: Server) -> None:
    server.now = 40.0
    joined = server.joins("ada", token="ada").last(Joined)
    assert (joined.token_expires_in_s, joined.may_publish, joined.may_subscribe) == (60.0, True, True)


@pytest.mark.parametrize("token", [None, "forged", "bo", "ada-retro"])
def test_no_token_or_another_ones_opens_nothing(server: Server, token: str | None) -> None:
    ada = Client(server, "ada")
    ada.joins(token=token)
    assert ada.closed is not None
    assert ada.closed.code == CloseCode.BAD_TOKEN
    assert server.switchboard.counts.rooms == 0


def test_a_session_ends_with_its_token(server: Server) -> None:
    ada, bo = server.joins("ada", token="ada"), server.joins("bo", token="bo")
    ada.publishes(Source.CAMERA)
    server.passes(99.9)
    assert ada.closed is None
    server.passes(0.1)
    assert ada.closed is not None
    assert ada.closed.code == CloseCode.TOKEN_EXPIRED
    assert bo.last(ParticipantLeft) == ParticipantLeft(ada.id, LeaveReason.REMOVED)
    assert server.open_legs(ada.id) == []


def test_a_renewed_token_lasts_longer(server: Server) -> None:
    ada = server.joins("ada", token="ada")
    server.passes(90.0)
    ada.says(RenewToken("ada-renewed"))
    assert ada.last(TokenRenewed).token_expires_in_s == 110.0
    server.passes(109.0)
    assert ada.closed is None
    server.passes(1.0)
    assert ada.closed is not None


@pytest.mark.parametrize("token", ["forged", "bo", "ada-retro"])
def test_a_bad_renewal_is_refused_and_the_old_token_stays_good(server: Server, token: str) -> None:
    ada = server.joins("ada", token="ada")
    ada.says(RenewToken(token))
    assert (ada.last(Refused).code, ada.last(Refused).regarding) == (CloseCode.BAD_TOKEN, "renew_token")
    server.passes(99.0)
    assert ada.closed is None


def test_who_may_not_publish_is_refused_and_hears(server: Server) -> None:
    ada, bo = server.joins("ada", token="ada-listens"), server.joins("bo", token="bo")
    bo.publishes(Source.MICROPHONE)
    ada.publishes(Source.CAMERA)
    assert ada.last(Refused).code == CloseCode.NOT_ALLOWED
    assert server.open_legs(bo.id) != []
    assert ada.sees(bo, "microphone")


def test_who_may_not_subscribe_gets_nothing_even_by_default(server: Server) -> None:
    ada, bo = server.joins("ada", token="ada-speaks"), server.joins("bo", token="bo")
    bo.publishes(Source.MICROPHONE)
    assert ada.receives() == {}
    ada.subscribes(bo, "microphone")
    assert ada.last(Refused).code == CloseCode.NOT_ALLOWED


def test_a_renewed_token_that_allows_less_takes_it_away_at_once(server: Server) -> None:
    ada, bo = server.joins("ada", token="ada"), server.joins("bo", token="bo")
    ada.publishes(Source.CAMERA)
    bo.publishes(Source.CAMERA)
    ada.says(RenewToken("ada-listens"))
    assert bo.receives() == {}
    assert ada.sees(bo, "camera")
    ada.says(RenewToken("ada-speaks"))
    assert ada.receives() == {}
    bo.publishes(Source.MICROPHONE)
    assert ada.receives() == {}


def test_where_no_token_is_needed_there_is_nothing_to_renew() -> None:
    ada = Server().joins("ada")
    assert ada.last(Joined).token_expires_in_s is None
    ada.says(RenewToken("any"))
    assert ada.last(Refused).code == CloseCode.BAD_TOKEN
