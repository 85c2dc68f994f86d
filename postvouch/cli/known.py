"""The names of this host for verbs that ask about them: the snapshot, or else the sources themselves."""

import time
from dataclasses import dataclass
from pathlib import Path

from postvouch.config.schema import Config
from postvouch.directory import snapshot, sources
from postvouch.directory.model import Directory, Part
from postvouch.host.gather import gather


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A directory, what it was made of, and where both are from, in words."""

    directory: Directory
    parts: tuple[Part, ...]
    via: str


def known_names(config: Config) -> Known:
    """The snapshot of this host; where there is none, all sources are read, and nothing is written."""
    try:
        parts = snapshot.read(Path(config.map.snapshot)).parts
    except snapshot.SnapshotError:
        gathered = gather(config, (), now=time.time())
        via = f"names files {', '.join(sources.placed(config, config.map.names))}"
        return Known(directory=gathered.compiled.directory, parts=gathered.parts, via=via)
    directory = snapshot.load(Path(config.map.snapshot))
    return Known(directory=directory, parts=parts, via=f"snapshot {config.map.snapshot}")
