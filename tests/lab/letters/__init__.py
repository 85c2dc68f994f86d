"""The letters, in the order in which they are told; a module puts its scenes among LETTERS."""

from lab.letters import way, submission, spoof, verdict, relay, ldap_gone, killed, filters, rotation, doors  # noqa: F401, I001
from lab.letters import reflector, unsigned, twins, passwords  # noqa: F401
from lab.story import LETTERS

__all__ = ["LETTERS"]
