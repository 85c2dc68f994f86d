"""Every key of this host: those that sign, those that rotate has on their way in or out, and leftovers.

Three places know of keys: the configuration, the file rotation.json of a domain's folder, and the folders
themselves. What is in none of them is not known; what one of them has and cannot be used is a problem.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from postvouch.config import keyplaces
from postvouch.config.schema import Config
from postvouch.host import keyfolder, rotation
from postvouch.host.keyfiles import load_key, specs_of
from postvouch.sign.keys import KeyProblem, KeySpec, PrivateKey
from postvouch.sign.rotation import State

SIGNS = "signs"
UNUSED = "unused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One key. ``state`` is SIGNS, UNUSED, or the state that rotate has it in, where it does not sign.

    ``private`` is None where the file cannot be used, and ``problem`` says why; ``made`` is the time of the
    file, else since when rotate has it in its state, in seconds of the epoch. ``used_for`` are the patterns
    of those whose From: it signs.
    """

    domain: str
    selector: str = ""
    state: str = SIGNS
    file: str = ""
    private: PrivateKey | None = None
    made: float | None = None
    used_for: tuple[str, ...] = ()
    problem: str = ""


def inventory(config: Config) -> list[Listed]:
    """All keys, in the order of the configuration, then by domain and selector. Raises nothing."""
    signing = [_signing(spec) for spec in specs_of(config)]
    seen = {os.path.realpath(each.file) for each in signing if each.file}
    rest = []
    for folder in _folders(config):
        for each in _rotated(config, folder.name):
            if os.path.realpath(each.file) not in seen:
                seen.add(os.path.realpath(each.file))
                rest.append(each)
        for file in sorted(folder.glob("*.pem")):
            if os.path.realpath(file) not in seen:
                rest.append(
                    _looked_at(Listed(domain=folder.name, selector=file.stem, state=UNUSED, file=str(file)))
                )
    return signing + rest


def _folders(config: Config) -> list[Path]:
    try:
        return sorted(each for each in Path(config.sign.key_directory).iterdir() if each.is_dir())
    except OSError:
        return []


def _signing(spec: KeySpec) -> Listed:
    below = (f"*.{spec.domain}",) if spec.subdomains else ()
    return _looked_at(
        Listed(
            domain=spec.domain,
            selector=spec.selector,
            file=spec.file,
            used_for=spec.authors or (spec.domain, *below),
            problem=spec.problem,
        )
    )


def _rotated(config: Config, domain: str) -> Iterator[Listed]:
    """What rotate has for a domain, the keys that sign included; deleted ones are history."""
    try:
        found = rotation.read(config.sign.key_directory, domain)
    except KeyProblem as problem:
        # A managed table has said the same already.
        if not any(key.domain == domain and keyplaces.is_managed(key) for key in config.sign.key):
            yield Listed(domain=domain, state=UNUSED, problem=str(problem))
        return
    for key in found.keys if found else ():
        if key.state is not State.DELETED:
            file = str(keyfolder.folder(config.sign.key_directory, domain) / key.file)
            # Where it signs, the key of the same file that is listed already takes its place.
            idle = "rotate has it active, but no [[sign.key]] uses it" if key.state is State.ACTIVE else ""
            listed = Listed(
                domain=domain, selector=key.selector, state=key.state, file=file, made=key.since, problem=idle
            )
            yield listed if key.state is State.REVOKED else _looked_at(listed)


def _looked_at(listed: Listed) -> Listed:
    """The same, with what its file says."""
    if not listed.file:
        return listed
    try:
        made: float | None = os.stat(listed.file).st_mtime
    except OSError:
        made = listed.made
    try:
        return replace(listed, made=made, private=load_key(listed.file))
    except KeyProblem as problem:
        return replace(listed, made=made, problem=listed.problem or str(problem))
