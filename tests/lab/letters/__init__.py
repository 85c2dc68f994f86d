"""The seven letters, in the order in which they are told; a module puts its scenes among LETTERS."""

from lab.letters import way, submission, spoof, relay, ldap_gone, killed  # noqa: F401, I001
from lab.story import LETTERS

__all__ = ["LETTERS"]
