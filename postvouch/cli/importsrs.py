"""``postvouch import`` of a postsrsd configuration: the SRS part of ours."""

from pathlib import Path
from typing import Any

from postvouch.cli import output
from postvouch.config.convert import show
from postvouch.config.opendkimledger import LOST
from postvouch.config.postsrsd import Imported


def toml(imported: Imported, file: Path, role: str) -> str:
    """The configuration, with what became of each line as comments."""
    parts = [[f"# Written by postvouch import from {output.clean(file)}."]]
    general = [f"role = {show(role)}"] if role else ['# role = "srs"']
    if imported.domains:
        general.append(f"domains = {show(tuple(imported.domains))}")
    parts.append(["[general]", *general])
    settings = [f"{name.partition('.')[2]} = {show(value)}" for name, value in imported.settings.items()]
    if settings:
        parts.append(["[srs]", *settings])
    lines = [f"# {output.clean(each)} ({each.fate})" for each in imported.entries]
    if lines:
        parts.append(["# What became of each line:", *lines])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def data(imported: Imported, file: Path, text: str | None) -> dict[str, Any]:
    """The same for programs."""
    return {
        "ok": not any(each.fate == LOST for each in imported.entries),
        "from": "postsrsd",
        "files": [str(file)],
        "domains": imported.domains,
        "settings": imported.settings,
        "lines": [
            {
                "file": each.where.file,
                "line": each.where.line,
                "directive": each.directive,
                "fate": each.fate,
                "text": each.text,
            }
            for each in imported.entries
        ],
        "toml": text,
    }
