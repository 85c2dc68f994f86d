"""One line of ``postvouch verify --jsonl``, read and checked: a letter, who brought it, and its DNS.

The members are those of docs/jsonl.rst; members that are not known are left alone, null is as good as absent.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from postvouch.cli.jsonldns import zone_of
from postvouch.cli.zonefile import Zone

T = TypeVar("T")
Name = str | int | float

_LATEST = 1e12
_INFINITE = float("inf")  # what 1e999 is read as
_RSA_BITS = range(512, 8193)


class CaseError(ValueError):
    """A line that is no case; ``name`` is its id as far as it could be read."""

    def __init__(self, text: str, name: Name | None = None) -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is asked; None for what the configuration, the clock or the system's resolver is to say."""

    name: Name
    letter: bytes
    client_ip: str = ""
    helo: str = ""
    mail_from: str = ""
    rcpt_to: tuple[str, ...] = ()
    now: float | None = None
    authserv_id: str | None = None
    min_rsa_bits: int | None = None
    zone: Zone | None = None


def read_case(line: bytes) -> Case:
    """Read one line. Raises CaseError for all that can be wrong with it."""
    try:
        data = _DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise CaseError("not UTF-8") from None
    except RecursionError:
        raise CaseError("not JSON that can be read: too deep") from None
    except ValueError as error:
        raise CaseError(f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise CaseError("not an object")
    name = data.get("id")
    if not isinstance(name, str | int | float) or isinstance(name, bool) or name in (_INFINITE, -_INFINITE):
        raise CaseError("id: missing, or neither a string nor a number")
    try:
        return _case(name, data)
    except ValueError as error:
        raise CaseError(str(error), name) from None


def _case(name: Name, data: dict[str, Any]) -> Case:
    bits = _member(data, "min_rsa_bits", int, None)
    if bits is not None and bits not in _RSA_BITS:
        raise ValueError(f"min_rsa_bits: not between {_RSA_BITS[0]} and {_RSA_BITS[-1]}")
    zone = data.get("dns")
    return Case(
        name=name,
        letter=_letter(_member(data, "message_b64", str, None)),
        client_ip=_member(data, "client_ip", str, ""),
        helo=_member(data, "helo", str, ""),
        mail_from=_path(_member(data, "mail_from", str, "")),
        rcpt_to=_recipients(_member(data, "rcpt_to", list, [])),
        now=_now(data.get("now")),
        authserv_id=_member(data, "authserv_id", str, None) or None,
        min_rsa_bits=bits,
        zone=None if zone is None else zone_of(zone),
    )


def _member(data: dict[str, Any], key: str, kind: type[T], default: Any) -> Any:
    """A member of that type, or the default where it is absent or null."""
    value = data.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{key}: not {_KINDS[kind]}")
    return value


_KINDS: dict[type, str] = {str: "a string", int: "a whole number", list: "a list"}


def _letter(text: str | None) -> bytes:
    if text is None:
        raise ValueError("message_b64: missing")
    try:
        return base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except ValueError as error:
        raise ValueError(f"message_b64: not base64: {error}") from None


def _recipients(paths: list[object]) -> tuple[str, ...]:
    if not all(isinstance(path, str) for path in paths):
        raise ValueError("rcpt_to: not a list of strings")
    return tuple(_path(str(path)) for path in paths)


def _path(text: str) -> str:
    """An envelope address without its angle brackets, as a milter would have it."""
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text


def _now(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= _LATEST:
        raise ValueError("now: not a time in seconds since 1970")
    return float(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
