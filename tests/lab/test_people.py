"""The made-up organisation has the numbers of a real one."""

import re
from collections import Counter

import pytest

from lab.people import ldif

pytestmark = pytest.mark.lab


def test_the_directory_has_91_accounts_24_forwards_and_76_roles() -> None:
    kinds = Counter(re.findall(r"^objectClass: (lab\w+)$", ldif(), re.MULTILINE))
    assert kinds == {"labAccount": 91, "labForward": 24, "labRole": 76}


def test_144_targets_in_the_known_proportions() -> None:
    domains = Counter(
        "elsewhere" if d.endswith("members.example") else d
        for d in re.findall(r"emailForward: .*@(\S+)", ldif())
    )
    assert domains == {"riseup.example": 30, "gmail.example": 21, "elsewhere": 93}


def test_the_directory_is_the_same_every_time() -> None:
    assert ldif() == ldif()
