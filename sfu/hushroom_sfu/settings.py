"""From flags and HUSHROOM_* variables to a `Config`. Flags win over variables, variables over defaults."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hushroom_common.secret import Secret
from hushroom_sfu.config import LOG_LEVELS, MIN_SECRET_BYTES, Config, ConfigError
from hushroom_sfu.conversation.limits import Limits

__all__ = ["add_server_flags", "read_config", "read_secret"]

T = TypeVar("T")

_MAX_SECRET_FILE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class _Setting:
    """A setting by its flag's name: `udp-port` is --udp-port and HUSHROOM_UDP_PORT."""

    name: str
    metavar: str
    help: str
    is_switch: bool = False
    repeats: bool = False

    @property
    def flag(self) -> str:
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        return f"HUSHROOM_{self._key.upper()}"

    @property
    def _key(self) -> str:
        return self.name.replace("-", "_")

    def flag_value(self, arguments: argparse.Namespace) -> object:
        """What the flag says; None without it."""
        value: object = getattr(arguments, self._key)
        return value


_DEFAULTS = Config(is_open_to_network=True)
_LIMITS = Limits()

_SETTINGS = (
    _Setting("host", "ADDRESS", f"address for HTTP and WebSockets (default {_DEFAULTS.host})"),
    _Setting("port", "PORT", f"TCP port, 0 for any free one (default {_DEFAULTS.port})"),
    _Setting("udp-host", "ADDRESS", "address for media (default: that of --host)"),
    _Setting("udp-port", "PORT", f"the one UDP port of all media, 0 for any free one (default {_DEFAULTS.udp_port})"),
    _Setting("public-ip", "ADDRESS", "one more address that clients reach the UDP port by; may repeat", repeats=True),
    _Setting("secret-file", "FILE", "key that tokens are signed with, 32 bytes or more; ending newlines do not count"),
    _Setting("open", "", "anyone may join, without a token; on this machine only", is_switch=True),
    _Setting("open-to-network", "", "with --open: really anyone who reaches this machine", is_switch=True),
    _Setting("max-participants", "N", f"participants in a room (default {_LIMITS.participants_per_room})"),
    _Setting("max-tracks", "N", f"tracks a participant publishes (default {_LIMITS.tracks_per_participant})"),
    _Setting("max-unjoined", "N", f"WebSockets that have not joined (default {_LIMITS.unjoined_connections})"),
    _Setting("max-messages", "N", f"messages a second of a client (default {_LIMITS.messages_per_s})"),
    _Setting("max-message-bytes", "N", f"bytes in a message of a client (default {_DEFAULTS.max_message_bytes})"),
    _Setting("join-timeout", "SECONDS", f"seconds to say Join (default {_LIMITS.join_timeout_s:g})"),
    _Setting("resume-window", "SECONDS", f"seconds to resume a lost WebSocket (default {_LIMITS.resume_window_s:g})"),
    _Setting("max-idle", "SECONDS", f"seconds that a TCP connection may do nothing (default {_DEFAULTS.max_idle_s:g})"),
    _Setting("log-level", "LEVEL", f"{', '.join(LOG_LEVELS)} (default {_DEFAULTS.log_level})"),
)
_BY_NAME = {setting.name: setting for setting in _SETTINGS}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def add_server_flags(parser: argparse.ArgumentParser) -> None:
    """Add all flags of the server to a command's parser."""
    for setting in _SETTINGS:
        described = f"{setting.help} [{setting.variable}]"
        if setting.is_switch:
            parser.add_argument(setting.flag, action="store_true", default=None, help=described)
        else:
            action = "append" if setting.repeats else "store"
            parser.add_argument(setting.flag, action=action, metavar=setting.metavar, help=described)


def read_config(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Config:
    """The configuration. Raises `ConfigError` for the first setting that cannot work."""
    read = _Reader(arguments, environ)
    return Config(
        host=read.one("host", str, _DEFAULTS.host),
        port=read.one("port", _whole_number, _DEFAULTS.port),
        udp_host=read.one("udp-host", str, None),
        udp_port=read.one("udp-port", _whole_number, _DEFAULTS.udp_port),
        public_ips=read.many("public-ip"),
        secret=_secret(read),
        is_open_to_network=read.switch("open-to-network"),
        max_message_bytes=read.one("max-message-bytes", _count, _DEFAULTS.max_message_bytes),
        max_idle_s=read.one("max-idle", _seconds, _DEFAULTS.max_idle_s),
        log_level=read.one("log-level", str, _DEFAULTS.log_level),
        limits=Limits(
            participants_per_room=read.one("max-participants", _count, _LIMITS.participants_per_room),
            tracks_per_participant=read.one("max-tracks", _count, _LIMITS.tracks_per_participant),
            unjoined_connections=read.one("max-unjoined", _count, _LIMITS.unjoined_connections),
            messages_per_s=read.one("max-messages", _count, _LIMITS.messages_per_s),
            join_timeout_s=read.one("join-timeout", _seconds, _LIMITS.join_timeout_s),
            resume_window_s=read.one("resume-window", _seconds, _LIMITS.resume_window_s),
        ),
    )


def read_secret(path: str, where: str = "--secret-file") -> Secret:
    """The key in a file, without the newlines at its end. Raises `ConfigError` for a file that is of no use."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_SECRET_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{where} {path}: {error.strerror}; make one with `head -c 32 /dev/urandom | base64 > FILE`"
        ) from None
    if len(content) > _MAX_SECRET_FILE_BYTES:
        raise ConfigError(f"{where} {path} has over {_MAX_SECRET_FILE_BYTES} bytes: is it the right file?")
    secret = Secret(content.rstrip(b"\r\n"))
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"{where} {path} has {len(secret)} bytes, it needs {MIN_SECRET_BYTES} or more: "
            "make one with `head -c 32 /dev/urandom | base64 > FILE`"
        )
    return secret


def _secret(read: "_Reader") -> Secret | None:
    """The signing key, or None for a server that is open. A flag of the two overrules the other's variable."""
    path, where = read.raw("secret-file")
    is_open = read.switch("open")
    if path is not None and is_open:
        flags = [read.is_flag_given(name) for name in ("secret-file", "open")]
        if flags == [True, False]:
            is_open = False
        elif flags == [False, True]:
            path = None
        else:
            raise ConfigError("--secret-file and --open exclude each other: leave one of them out")
    if path is not None:
        return read_secret(path, where)
    if not is_open:
        raise ConfigError(
            "who may join? Give --secret-file FILE (make one with `head -c 32 /dev/urandom | base64 > FILE`), "
            "or --open to let anyone on this machine join"
        )
    return None


class _Reader:
    """Finds settings in flags and variables; its errors name the one that was used."""

    def __init__(self, arguments: argparse.Namespace, environ: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._environ = environ

    def is_flag_given(self, name: str) -> bool:
        return _BY_NAME[name].flag_value(self._arguments) is not None

    def raw(self, name: str) -> tuple[str | None, str]:
        """The text of a setting that takes one, and what it is called where it was found."""
        setting = _BY_NAME[name]
        given = setting.flag_value(self._arguments)
        if given is not None:
            return str(given), setting.flag
        return self._environ.get(setting.variable) or None, setting.variable

    def one(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text, where = self.raw(name)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError as error:
            raise ConfigError(f"{where} {text!r} is not {error}") from None

    def many(self, name: str) -> tuple[str, ...]:
        given = _BY_NAME[name].flag_value(self._arguments)
        if isinstance(given, list):
            return tuple(str(value) for value in given)
        text = self._environ.get(_BY_NAME[name].variable, "")
        return tuple(part.strip() for part in text.split(",") if part.strip())

    def switch(self, name: str) -> bool:
        if self.is_flag_given(name):
            return True
        variable = _BY_NAME[name].variable
        text = self._environ.get(variable, "").lower()
        if text not in _TRUE + _FALSE:
            raise ConfigError(f"{variable} {text!r} is neither yes nor no: use 1 or 0")
        return text in _TRUE


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError("a whole number: use one like 8080")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0):
        raise ValueError("a whole number above 0: use one like 64")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 86_400:
        raise ValueError("a number of seconds above 0: use one like 10")
    return seconds
