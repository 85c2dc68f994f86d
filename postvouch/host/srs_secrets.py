"""The file of SRS secrets: one a line, the first signs, all verify; postsrsd's file fits as it is."""

import hmac
import os
import stat
from collections.abc import Sequence

_MAX_OCTETS = 65536


class SecretsProblem(Exception):
    """The secrets cannot be used; the text names the file, what is wrong with it and what to do."""


def read_secrets(path: str) -> tuple[bytes, ...]:
    """The secrets, never none. Raises SecretsProblem where the file is missing, empty or open to others."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SecretsProblem(f"{path}: {error.strerror}") from None
    with open(handle, "rb") as file:
        status = os.fstat(file.fileno())
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISREG(status.st_mode):
            raise SecretsProblem(f"{path}: not a regular file")
        if mode & 0o027:
            raise SecretsProblem(f"{path}: mode {mode:04o} is too open for secrets; chmod 0640 {path}")
        octets = file.read(_MAX_OCTETS + 1)
    secrets = tuple(line for line in octets.splitlines() if line.strip())
    if not secrets or len(octets) > _MAX_OCTETS:
        raise SecretsProblem(f"{path}: {'is too long' if secrets else 'holds no secret'}")
    return secrets


def fingerprint(secret: bytes) -> str:
    """A short name for a secret, to compare hosts by; it tells no more of it than any SRS address does."""
    return hmac.digest(secret, b"postvouch fingerprint", "sha256").hex()[:12]


def write_secrets(path: str, secrets: Sequence[bytes]) -> None:
    """Put ``secrets`` into the place of the file, whole or not at all, with its owner and mode.

    Raises OSError.
    """
    before = os.stat(path)
    new = f"{path}.{os.getpid()}.new"
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "wb") as file:
            file.write(b"".join(secret + b"\n" for secret in secrets))
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
