"""The file with the public suffix list: Debian's package publicsuffix brings it and keeps it fresh.

Without it mail goes on: organisations are then found in DNS alone (RFC 9989), and the log says so once.
"""

import os
import stat

from postvouch.auth.psl import Suffixes

# Twenty times what the list is; more is some other file.
MAX_FILE_OCTETS = 8 << 20
# The last line of every whole copy: half a list would make one organisation of strangers without a word.
_END = "===END PRIVATE DOMAINS==="
_WITHOUT = "organisations are found in DNS alone"


def load(path: str) -> tuple[Suffixes | None, str]:
    """The list in ``path``, or None and a sentence for the log and ``postvouch check``. Never raises."""
    if not path:
        return None, f"no list of public suffixes is set; {_WITHOUT}"
    try:
        text = _read(path).decode("utf-8")
    except FileNotFoundError:
        return None, f"{path}: no such file; {_WITHOUT}; apt install publicsuffix"
    except OSError as error:
        return None, f"{path}: {error.strerror or 'cannot be read'}; {_WITHOUT}"
    except ValueError:
        return None, f"{path}: not UTF-8 text, so no list of public suffixes; {_WITHOUT}"
    found = Suffixes.parse(text)
    if _END not in text or not {"com", "org"} <= found.rules:
        return None, f"{path}: not a list of public suffixes, or not all of it; {_WITHOUT}"
    return found, ""


def _read(path: str) -> bytes:
    """All of a regular file; OSError, also where it is a pipe or far too long."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        if status.st_size > MAX_FILE_OCTETS:
            raise OSError(0, "too long for a list of public suffixes")
        return os.read(handle, MAX_FILE_OCTETS)
    finally:
        os.close(handle)
