"""From a TOML value to the kind that the schema asks for, and back to how a person would write it.

``convert`` raises ``Wrong`` with a text that says what to write instead; ``show`` is its inverse, for the
example file and ``postvouch config``.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from postvouch.config import kinds
from postvouch.config.catalog import Setting
from postvouch.config.problems import did_you_mean
from postvouch.sign import authors
from postvouch.values.address import AddressError, parse_domain
from postvouch.values.network import is_network

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([smhdw])")
_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_MOST_SOCKET_PATH = 107  # sun_path holds 108 octets with its last NUL (unix(7))


class Wrong(ValueError):
    """The value does not fit; the message says what does."""


Warn = Callable[[str], None]


def convert(value: object, setting: Setting, warn: Warn) -> Any:
    """One value (of a list: one element) as the kind of ``setting``.

    Raises Wrong. ``warn`` is told what was tolerated.
    """
    if setting.kind is bool:
        if not isinstance(value, bool):
            raise Wrong(f"{_said(value)} where true or false is meant")
        return value
    if setting.kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(f"{_said(value)} where a whole number is meant")
        return _within(value, setting)
    if setting.kind is kinds.Duration and isinstance(value, int | float) and not isinstance(value, bool):
        raise Wrong(f'a duration needs its unit: "{value}s", or m, h, d, w')
    if not isinstance(value, str):
        raise Wrong(f"{_said(value)} where a string is meant")
    if not value.isprintable():
        raise Wrong("control characters in a string")
    if value == "" and (setting.default == "" or setting.kind is kinds.Endpoint):
        return value
    return _text(value, setting, warn)


def _text(value: str, setting: Setting, warn: Warn) -> Any:
    kind = setting.kind
    if setting.choices and value not in setting.choices:
        known = [word for word in setting.choices if word]
        raise Wrong(f'"{value}" is none of {", ".join(known)}{did_you_mean(value, known)}')
    if kind is kinds.Duration:
        return _within(_duration(value), setting)
    if kind is kinds.Network or (kind is kinds.Host and is_network(value)):
        return _network(value, warn)
    checks: dict[Any, Callable[[str], str]] = {
        kinds.Domain: _domain,
        kinds.Host: host_name,
        kinds.AuthorPattern: _author_pattern,
        kinds.Socket: _socket,
        kinds.SecretPath: _path,
        kinds.IpAddress: _ip_address,
        kinds.Endpoint: _endpoint,
    }
    return checks[kind](value) if kind in checks else value


def _said(value: object) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")


def _within(number: float, setting: Setting) -> float:
    def spoken(limit: float) -> str:
        return show(limit, setting.kind).strip('"')

    if number < setting.least:
        raise Wrong(f"too small: at least {spoken(setting.least)}")
    if setting.most is not None and number > setting.most:
        raise Wrong(f"too large: at most {spoken(setting.most)}")
    return number


def _duration(value: str) -> float:
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        raise Wrong(f'"{value}" is no duration: write a number and s, m, h, d or w, as in "5d"')
    return float(found[1]) * _SECONDS[found[2]]


def _domain(value: str) -> str:
    try:
        return parse_domain(value)
    except AddressError as error:
        raise Wrong(f'"{value}" is no domain: {error}') from None


def host_name(value: str) -> str:
    """A host name, or a domain with a dot before it; a whole top-level domain is nobody's. Raises Wrong."""
    dot, name = value[: value.startswith(".")], value.removeprefix(".")
    try:
        name = parse_domain(name)
    except AddressError as error:
        raise Wrong(f'"{value}" is no address, network or host name: {error}') from None
    if name == "unknown" or (dot and "." not in name):
        raise Wrong(f'"{value}" would be strangers')
    return f"{dot}{name}"


def _author_pattern(value: str) -> str:
    try:
        return str(authors.parse(value))
    except AddressError as error:
        raise Wrong(f'"{value}" is no pattern of authors: {error}') from None


def _network(value: str, warn: Warn) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        pass
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise Wrong(f'"{value}" is no IP address or network: names are not allowed here') from None
    warn(f'"{value}" has bits set after its prefix; the whole network {network} is meant')
    return str(network)


def _ip_address(value: str) -> str:
    """An address, with "@port" where a server is not on the port of its protocol."""
    address, at, port = value.partition("@")
    if at and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise Wrong(f'"{value}": no port after the "@"')
    try:
        return f"{ipaddress.ip_address(address)}{at}{port}"
    except ValueError:
        raise Wrong(f'"{value}" is no IP address') from None


def _path(value: str) -> str:
    if not value.startswith("/"):
        raise Wrong(f'"{value}" is no absolute path')
    return value


def _endpoint(value: str) -> str:
    found = _HOST_PORT.fullmatch(value)
    if found is None or not 0 < int(found[2]) < 65536:
        raise Wrong(f'"{value}" is no "host:port"')
    if found[1].startswith("["):
        try:
            ipaddress.IPv6Address(found[1][1:-1])
        except ValueError:
            raise Wrong(f'"{value}": no IPv6 address between the brackets') from None
    return value


def _socket(value: str) -> str:
    how, colon, where = value.partition(":")
    if colon and how == "unix":
        if not where.startswith("/"):
            raise Wrong(f'"{value}": the path of a socket is absolute, "unix:/path"')
        if len(where.encode()) > _MOST_SOCKET_PATH:
            raise Wrong(f"the path of a socket has at most {_MOST_SOCKET_PATH} octets")
        return value
    if colon and how == "inet":
        return f"inet:{_endpoint(where)}"
    raise Wrong(f'"{value}" is no socket: write "unix:/path" or "inet:host:port"')


def show(value: Any, kind: Any = str) -> str:
    """A value as it would be written in the file: durations in the largest unit that is exact."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(show(each, kind) for each in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind is kinds.Duration:
        for unit, seconds in _SECONDS.items():
            if value and value % seconds == 0:
                return f'"{int(value) // seconds}{unit}"'
        return f'"{value:.9f}'.rstrip("0").rstrip(".") + 's"'
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
