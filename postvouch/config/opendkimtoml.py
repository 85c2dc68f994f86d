"""What was imported from OpenDKIM as text of postvouch.toml, with what became of each line as comments."""

from postvouch.config.convert import show
from postvouch.config.opendkimimport import Imported
from postvouch.config.opendkimkeys import ImportedKey
from postvouch.config.opendkimledger import Entry

ROLES = ("submission", "relay", "srs", "mx")
_TABLES = ("general", "dns", "verify", "sign")
_ROLE = (
    "# What this host does: submission, relay or srs. Nothing is signed until this is set.",
    '# role = "submission"',
)
_OWNER = (
    "# OpenDKIM did not ask whether a login may use its From:. Once the names are there (map.names), take",
    "# this line away, and each login sends as itself only.",
    "check_owner = false",
)


def toml(imported: Imported, entries: tuple[Entry, ...], *, role: str = "") -> str:
    """The file. ``entries`` are those of ``imported`` and what was found out about its key files."""
    tables: dict[str, list[str]] = {name: [] for name in _TABLES}
    tables["general"] += [f"role = {show(role)}"] if role and imported.domains else _ROLE
    if imported.domains:
        tables["general"].append(f"domains = {show(imported.domains)}")
    if imported.keys:
        tables["sign"] += _OWNER
    for name, value in imported.settings.items():
        table, _, key = name.partition(".")
        tables[table].append(f"{key} = {show(value)}")
    parts = [[f"# Written by postvouch import from {_plain(imported.files[0])}."]]
    parts += [[f"[{name}]", *lines] for name, lines in tables.items() if lines]
    parts += [_key(key) for key in imported.keys]
    if entries:
        parts.append(
            ["# What became of each line:", *(f"# {_plain(each)} ({each.fate})" for each in entries)]
        )
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _key(key: ImportedKey) -> list[str]:
    lines = [
        "[[sign.key]]",
        f"domain = {show(key.domain)}",
        f"selector = {show(key.selector)}",
        f"file = {show(key.file)}",
    ]
    if key.subdomains:
        lines.append("subdomains = true")
    if key.authors:
        lines.append(f"authors = {show(key.authors)}")
    return lines


def _plain(text: object) -> str:
    """Fit for a comment."""
    return "".join(c if c.isprintable() else "?" for c in str(text))
