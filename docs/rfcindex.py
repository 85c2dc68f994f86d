"""Write docs/rfc.rst: which module follows which section of which RFC, read off the marks in the code.

A mark is "RFC 7208 §4.6.4" (or "RFC 7208" for the whole) in a docstring or comment. Run ``python3
docs/rfcindex.py`` after adding one; ``tests/test_docs.py`` fails while the page is stale.
"""

import re
from collections import defaultdict
from pathlib import Path

MARK = re.compile(r"RFC (\d{3,5})(?:,? §+ ?(\d+(?:\.\d+)*))?")
TOP = Path(__file__).resolve().parent.parent
ROOMS = ("postvouch", "milters", "policyd")

# How far we follow each RFC, by hand: what a mark cannot say.
COVERAGE = {
    3463: ("partial", "the enhanced status codes that we send"),
    5321: ("partial", "paths, mailboxes and replies; Postfix is the MTA"),
    5322: ("partial", "From: and the syntax of fields"),
    6376: ("yes", "DKIM verification and signing; no z=, never l= when signing"),
    6532: ("yes", "UTF-8 in addresses and fields"),
    6854: ("yes", "groups in From: are understood and refused as an author"),
    7208: ("yes", "SPF, evaluated by pyspf behind our DNS and limits"),
    7372: ("partial", "status codes of authentication failures"),
    8301: ("yes", "no rsa-sha1, no RSA key under 1024 bits passes"),
    8463: ("yes", "Ed25519 signatures"),
    8601: ("yes", "Authentication-Results, written and removed"),
    8616: ("partial", "internationalised domains in DKIM and SPF"),
    9989: ("yes", "DMARC with tree walk; no reports"),
}


def marks() -> dict[int, dict[str, set[str]]]:
    """{RFC: {section: {file, …}}} over the product's code; the section is "" for the RFC as a whole."""
    found: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for room in ROOMS:
        for path in sorted((TOP / room).rglob("*.py")):
            if path.is_symlink() or any(part.is_symlink() for part in path.parents):
                continue
            text = re.sub(r"\s*\n\s*(?:# ?)?", " ", path.read_text("utf-8"))
            for match in MARK.finditer(text):
                found[int(match[1])][match[2] or ""].add(str(path.relative_to(TOP)))
    return found


def page() -> str:
    """The whole of docs/rfc.rst."""
    lines = [
        "Standards",
        "=========",
        "",
        "Made by ``python3 docs/rfcindex.py`` from marks in the code; yes and partial are our words.",
        "",
    ]
    for number, sections in sorted(marks().items()):
        title = f"RFC {number}"
        status = COVERAGE.get(number)
        lines += [title, "-" * len(title), ""]
        if status:
            lines += [f"{status[0]}: {status[1]}.", ""]
        for section, files in sorted(sections.items(), key=lambda item: _order(item[0])):
            where = ", ".join(f"``{name}``" for name in sorted(files))
            lines.append(f"* {'§' + section if section else 'as a whole'}: {where}")
        lines.append("")
    return "\n".join(lines)


def _order(section: str) -> tuple[int, ...]:
    return tuple(int(part) for part in section.split(".")) if section else ()


if __name__ == "__main__":
    (TOP / "docs" / "rfc.rst").write_text(page(), "utf-8")
