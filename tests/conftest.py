"""Settings for all tests: how hard hypothesis tries, and the same tries every time where CI runs."""

import os

from hypothesis import settings

settings.register_profile("house", deadline=None, max_examples=100, derandomize="CI" in os.environ)
settings.load_profile("house")
