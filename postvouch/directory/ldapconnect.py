"""The way to one LDAP server: a connection of ldap3 with its end of time, TLS, the bind, and faults in words.

ldap3 is optional and imported when a server is asked (Debian: python3-ldap3).
"""

import contextlib
import re
import socket
import ssl
import time
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from postvouch.config.names import Ldap

_MAX_OCTETS = 1 << 32

_RESULTS = {
    "noSuchObject": "there is no {base} there, or we may not see it (ldap.base)",
    "sizeLimitExceeded": "gives us only a part: its size limit for us is too small (size.prtotal in slapd)",
    "adminLimitExceeded": "gives us only a part: its limits for us are too small",
    "timeLimitExceeded": "gives us only a part: its time limit for us is too short",
    "referral": "sends us to {referrals}, which is not followed: name that server in ldap.uri",
    "insufficientAccessRights": "does not let us read {base}",
    "invalidCredentials": "wrong password, or no such ldap.bind_dn",
    "confidentialityRequired": "wants encryption first (ldap.starttls, or ldaps://)",
    "busy": "is too busy",
    "unavailable": "is shutting down or not ready",
}
"""Results of RFC 4511 §4.1.9 that a person should not have to look up."""

_FAULTS = (
    ("refused", "nobody listens there (connection refused)"),
    ("timed out", "does not answer (timed out)"),
    ("terminated by server", "ended the connection before its answer was whole"),
    ("reset by peer", "ended the connection before its answer was whole"),
    ("Broken pipe", "ended the connection before its answer was whole"),
    ("Name or service not known", "its name is not in DNS"),
    ("Temporary failure in name resolution", "DNS does not say where it is"),
    ("No route to host", "cannot be reached (no route)"),
    ("Network is unreachable", "cannot be reached (no network)"),
)
"""A piece of what the libraries say -> what it means."""


class DirectoryUnavailable(Exception):
    """LDAP gave no complete answer; the text says why."""


@contextlib.contextmanager
def understood(ldap3: ModuleType) -> Iterator[None]:
    """What ldap3 and pyasn1 make of octets that are no LDAP may be of any type: here it gets a name."""
    try:
        yield
    except (DirectoryUnavailable, ldap3.core.exceptions.LDAPException, OSError, ValueError):
        raise
    except Exception as error:
        raise DirectoryUnavailable(f"answers what is no LDAP ({type(error).__name__})") from error


def library() -> ModuleType:
    """ldap3. Raises DirectoryUnavailable where it is not installed."""
    try:
        with warnings.catch_warnings():
            # ldap3 2.9.1 still uses names that newer pyasn1 only warns about.
            warnings.simplefilter("ignore", DeprecationWarning)
            import ldap3
    except ImportError as error:
        raise DirectoryUnavailable(
            "ldap.uri is set but ldap3 is missing: apt install python3-ldap3"
        ) from error
    return ldap3  # type: ignore[no-any-return]


def _password(settings: Ldap) -> str:
    if not settings.password_file:
        return ""
    try:
        lines = Path(settings.password_file).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DirectoryUnavailable(
            f"ldap.password_file {settings.password_file}: {error.strerror}"
        ) from error
    return lines[0] if lines else ""


def connection_to(ldap3: ModuleType, settings: Ldap, uri: str, until: float) -> Any:
    """A connection, not yet open."""
    password = _password(settings)
    if settings.bind_dn and not password:
        # RFC 4513 §5.1.2: with a name and no password a server may answer "success" and mean "anonymous".
        raise DirectoryUnavailable("ldap.bind_dn is set, ldap.password_file gives no password")
    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED)
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:
        raise DirectoryUnavailable(f"ldap.ca_file {settings.ca_file}: {error.strerror or error}") from error
    # ldap3 compares host names by a function that Python has dropped; the ssl module does it better anyway.
    tls.wrap_socket = partial(_wrap, context, settings.timeout, until)
    wait = max(0.1, min(settings.timeout, until - time.monotonic()))
    server = ldap3.Server(uri, tls=tls, get_info=ldap3.NONE, connect_timeout=wait)
    return ldap3.Connection(
        server,
        user=settings.bind_dn or None,
        password=password or None,
        authentication=ldap3.SIMPLE if settings.bind_dn else ldap3.ANONYMOUS,
        read_only=True,
        auto_referrals=False,
        return_empty_attributes=False,
        raise_exceptions=False,
    )


class _Timed:
    """The socket under ldap3, with a limit for each wait and one end for all of them.

    ldap3 2.9.1 only knows the former, in whole seconds: a server that sends an octet now and then would keep
    us for ever.
    """

    def __init__(self, raw: socket.socket, timeout: float, until: float) -> None:
        self.raw = raw
        self._timeout = timeout
        self._until = until
        self._octets = 0
        self.limit()

    def limit(self) -> None:
        """Set the time that is left for the next call. Raises TimeoutError when there is none."""
        left = min(self._timeout, self._until - time.monotonic())
        if left <= 0:
            raise TimeoutError("timed out")
        self.raw.settimeout(left)

    def recv(self, size: int) -> bytes:
        self.limit()
        data = self.raw.recv(size)
        self._octets += len(data)
        if self._octets > _MAX_OCTETS:
            raise OSError("sends more than any directory holds")
        return data

    def sendall(self, data: bytes) -> None:
        self.limit()
        self.raw.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def _wrap(
    context: ssl.SSLContext, timeout: float, until: float, connection: Any, do_handshake: bool = True
) -> None:
    given = connection.socket
    timed = given if isinstance(given, _Timed) else _Timed(given, timeout, until)
    timed.limit()  # also for the handshake, which counts its time as a whole
    encrypted = context.wrap_socket(timed.raw, server_hostname=connection.server.host)
    connection.socket = _Timed(encrypted, timeout, until)


def bind(connection: Any, settings: Ldap, until: float) -> None:
    """Open, encrypt where that is set, and say who we are. Raises what ldap3 raises, DirectoryUnavailable."""
    connection.open(read_server_info=False)
    if not isinstance(connection.socket, _Timed):
        connection.socket = _Timed(connection.socket, settings.timeout, until)
    if settings.starttls and not connection.server.ssl and not connection.start_tls(read_server_info=False):
        raise DirectoryUnavailable(f"does not do StartTLS: {meaning(connection.result, '')}")
    if not connection.bind(read_server_info=False):
        raise DirectoryUnavailable(f"bind refused: {meaning(connection.result, '')}")


def close(connection: Any) -> None:
    """Say goodbye where that is possible, and never leave a socket open, as ldap3 does after a failure."""
    opened = connection.socket
    with contextlib.suppress(Exception):
        connection.unbind()
    if opened is not None:
        opened.close()


def meaning(result: Mapping[str, Any], base: str) -> str:
    """A result that is no success: its name in the RFC, and what it means."""
    name = str(result["description"])
    others = ", ".join(map(str, result.get("referrals") or ("another server",)))[:200]
    more = _RESULTS.get(name, "").format(base=base, referrals=others) or str(result.get("message") or "")
    return f"{name}: {more[:300]}" if more else name


def words(error: BaseException) -> str:
    """What went wrong, without the tuples and class names that ldap3 puts around it."""
    text = " ".join(str(error).split()) or type(error).__name__
    for piece, plain in _FAULTS:
        if piece in text:
            return plain
    failed = re.search(r"certificate verify failed: ([^(\"']+(?:'[^']*')?)", text)
    if failed:
        return f"certificate verify failed: {failed[1].strip()} (ldap.ca_file, or the name in ldap.uri)"
    return re.sub(r"^\(?['\"]?|['\"]?,?\)?$", "", text)[:300]
