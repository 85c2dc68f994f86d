"""Sockets to listen on, as the configuration names them."""

import os
import socket
import stat
from pathlib import Path

from postvouch.host.process import clear_socket_path

MODE = 0o660


def listen(address: str) -> socket.socket:
    """A bound socket for "unix:/path" (mode 0660, a dead daemon's socket replaced) or "inet:host:port"."""
    kind, _, where = address.partition(":")
    if kind == "unix":
        path = Path(where)
        clear_socket_path(path)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o777 ^ MODE)
        try:
            bound.bind(str(path))
        finally:
            os.umask(old)
        if stat.S_IMODE(path.stat().st_mode) != MODE:
            path.chmod(MODE)
        return bound
    host, _, port = where.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, int(port)))
    return bound
