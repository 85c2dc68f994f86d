"""What one evaluation asks of DNS: each question once, not too many, and whether every answer was secured."""

from collections.abc import Callable

from postvouch.values.dns import DnsUnavailable, Records, Resolver

OUT_OF_TIME = "the computing time for this message is up"


class Questions:
    """A Resolver that asks another one, and remembers what it said, failures included.

    Beyond ``most`` different questions it raises DnsUnavailable, so that a hundred signatures of a hundred
    names cannot spend what the message may ask, and nobody's mail fails for it; and so once ``spent`` says
    that the computing time is up: behind every question there is work.
    """

    def __init__(self, resolver: Resolver, most: int, spent: Callable[[], bool] = lambda: False) -> None:
        self._resolver = resolver
        self._most = most
        self._spent = spent
        self._said: dict[tuple[str, str], Records | str] = {}

    def lookup(self, name: str, kind: str) -> Records:
        """Ask as ``values.dns.Resolver`` does. Raises DnsUnavailable."""
        said = self._said.get((name, kind))
        if said is None:
            if len(self._said) >= self._most:
                raise DnsUnavailable("too many DNS questions for one evaluation")
            if self._spent():
                raise DnsUnavailable(OUT_OF_TIME)
            try:
                said = self._resolver.lookup(name, kind)
            except DnsUnavailable as error:
                said = str(error)
            self._said[name, kind] = said
        if isinstance(said, str):
            raise DnsUnavailable(said)
        return said

    @property
    def secure(self) -> bool:
        """Whether there were answers, and all of them had the AD bit of our resolver."""
        return bool(self._said) and all(isinstance(s, Records) and s.secure for s in self._said.values())
