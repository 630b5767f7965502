"""Settings: flags over variables over defaults, and errors that say what would work."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import pytest

from hushroom_common.secret import Secret
from hushroom_sfu.config import Config, ConfigError, is_loopback
from hushroom_sfu.settings import add_server_flags, read_config, read_secret


def read(*flags: str, **environ: str) -> Config:
    parser = argparse.ArgumentParser()
    add_server_flags(parser)
    variables: Mapping[str, str] = {f"HUSHROOM_{name}": value for name, value in environ.items()}
    return read_config(parser.parse_args(flags), variables)


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.write_bytes(b"s" * 32 + b"\n")
    return str(path)


def test_an_open_server_needs_nothing_else() -> None:
    config = read("--open")
    assert config.is_open
    assert (config.host, config.port, config.media_host, config.udp_port) == ("127.0.0.1", 8080, "127.0.0.1", 3478)
    assert config.limits.participants_per_room == 64
    assert config.limits.tracks_per_participant == 8
    assert config.limits.unjoined_connections == 200
    assert config.limits.messages_per_s == 50
    assert config.max_message_bytes == 65_536


def test_a_flag_wins_over_its_variable_and_a_variable_over_the_default() -> None:
    assert read("--open", PORT="9000").port == 9000
    assert read("--open", "--port", "9001", PORT="9000").port == 9001


def test_everything_can_be_a_variable(secret_file: str) -> None:
    config = read(
        SECRET_FILE=secret_file,
        HOST="0.0.0.0",
        UDP_HOST="::",
        UDP_PORT="10000",
        PUBLIC_IP="203.0.113.7, 2001:db8::7",
        MAX_PARTICIPANTS="12",
        MAX_MESSAGE_BYTES="8192",
        JOIN_TIMEOUT="2.5",
        LOG_LEVEL="debug",
    )
    assert config.secret == Secret(b"s" * 32)
    assert (config.host, config.media_host, config.udp_port) == ("0.0.0.0", "::", 10_000)
    assert config.public_ips == ("203.0.113.7", "2001:db8::7")
    assert config.limits.participants_per_room == 12
    assert config.limits.join_timeout_s == 2.5
    assert config.max_message_bytes == 8192
    assert config.log_level == "debug"


def test_public_addresses_repeat() -> None:
    assert read("--open", "--public-ip", "203.0.113.7", "--public-ip", "2001:db8::7").public_ips == (
        "203.0.113.7",
        "2001:db8::7",
    )


@pytest.mark.parametrize(
    ("flags", "environ", "says"),
    [
        ((), {}, "--secret-file FILE"),
        (("--open", "--port", "http"), {}, "--port 'http' is not a whole number: use one like 8080"),
        (("--open",), {"PORT": "http"}, "HUSHROOM_PORT 'http' is not a whole number: use one like 8080"),
        (("--open", "--port", "65536"), {}, "--port 65536 is not between 0 and 65535"),
        (("--open", "--udp-port", "-1"), {}, "--udp-port '-1' is not a whole number"),
        (("--open", "--host", "example.org"), {}, "--host 'example.org' is not an IP address: use 127.0.0.1"),
        (("--open", "--public-ip", "me"), {}, "--public-ip 'me' is not an IP address: use one like 203.0.113.7"),
        (("--open", "--public-ip", "0.0.0.0"), {}, "--public-ip 0.0.0.0 is nobody's own address"),
        (("--open", "--host", "0.0.0.0"), {}, "--open with --host 0.0.0.0 lets anyone"),
        (("--open", "--udp-host", "::"), {}, "--open with --udp-host :: lets anyone"),
        (("--open", "--max-tracks", "0"), {}, "--max-tracks '0' is not a whole number above 0"),
        (("--open", "--max-message-bytes", "65537"), {}, "--max-message-bytes 65537 is not between 4096 and 65536"),
        (("--open", "--join-timeout", "soon"), {}, "--join-timeout 'soon' is not a number of seconds above 0"),
        (("--open", "--log-level", "chatty"), {}, "--log-level chatty is none of debug, info, warning, error"),
        ((), {"OPEN": "maybe"}, "HUSHROOM_OPEN 'maybe' is neither yes nor no: use 1 or 0"),
        (("--secret-file", "/nowhere/secret"), {}, "--secret-file /nowhere/secret: No such file"),
        ((), {"SECRET_FILE": "/nowhere/secret"}, "HUSHROOM_SECRET_FILE /nowhere/secret: No such file"),
    ],
)
def test_what_cannot_work_is_refused_with_what_would(
    flags: tuple[str, ...], environ: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(*flags, **environ)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_open_to_the_network_is_said_twice() -> None:
    assert read("--open", "--open-to-network", "--host", "0.0.0.0").is_open_to_network


def test_a_server_with_a_secret_may_bind_anywhere(secret_file: str) -> None:
    assert read("--secret-file", secret_file, "--host", "0.0.0.0").host == "0.0.0.0"


def test_a_secret_of_31_bytes_is_refused_and_one_of_32_is_not(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"s" * 31 + b"\n\n")  # newlines at the end do not count
    with pytest.raises(ConfigError, match="has 31 bytes, it needs 32"):
        read("--secret-file", str(path))
    path.write_bytes(b"s" * 32)
    assert not read("--secret-file", str(path)).is_open


def test_a_secret_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film"
    path.write_bytes(bytes(65_537))
    with pytest.raises(ConfigError, match="is it the right file"):
        read_secret(str(path))


def test_open_and_a_secret_exclude_each_other_unless_one_is_only_a_variable(secret_file: str) -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        read("--open", "--secret-file", secret_file)
    with pytest.raises(ConfigError, match="exclude each other"):
        read(OPEN="1", SECRET_FILE=secret_file)
    assert read("--open", SECRET_FILE=secret_file).is_open
    assert not read("--secret-file", secret_file, OPEN="1").is_open


def test_a_config_does_not_print_its_secret(secret_file: str) -> None:
    assert "sss" not in repr(read("--secret-file", secret_file))


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_which_hosts_are_this_machine_alone(host: str, is_local: bool) -> None:
    assert is_loopback(host) is is_local
