"""Every letter of the demo as a test."""

import pytest

from lab.lab import Lab
from lab.letters import LETTERS
from lab.story import Letter, Story

pytestmark = pytest.mark.lab


@pytest.mark.timeout(600)
@pytest.mark.parametrize("letter", LETTERS, ids=[f"{scene.number}-{scene.name}" for scene in LETTERS])
def test_letter(letter: Letter, lab: Lab, story: Story) -> None:
    letter.act(lab, story)
