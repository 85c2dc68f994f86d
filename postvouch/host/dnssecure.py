"""The chain of trust from the root to a record, link by link, and the first that is broken (RFC 4035 §5).

A validating resolver says SERVFAIL, or nothing at all; an admin wants to know which zone has to do what. The
records come from the resolver unvalidated (CD) and are checked here. For the keys of the root we take the
resolver's word, unless a file has trust anchors. Keys and signatures of strangers are counted before they are
tried: CVE-2023-50387 made others try them all.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import dns.message
from dns.rdtypes.ANY.DNSKEY import DNSKEY

from postvouch.host.dnsexchange import NoAnswer, Recursor, Zone, answer, text, together
from postvouch.host.dnskeys import (
    ALGORITHMS,
    DIGESTS,
    Anchors,
    is_of,
    is_signed,
    is_usable,
    tag,
    tags,
)
from postvouch.host.dnslook import Texts
from postvouch.sign.finding import Fault, Finding

DEADLINE_S = 10.0
MAX_TRIES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The way from the trust anchor to a name. ``faults`` are empty where every link holds.

    ``links`` tells of those that were looked at, a line each. ``is_anchored``: it hangs on an anchor from a
    file, not on the resolver's word. ``texts`` are the TXT records that it proves; of nothing it proves
    nothing. ``trouble`` says why it could not be followed to its end.
    """

    faults: tuple[Fault, ...] = ()
    links: tuple[str, ...] = ()
    is_anchored: bool = False
    texts: Texts = ()
    trouble: str = ""

    @property
    def holds(self) -> bool:
        """Whether every link was seen and is sound."""
        return not self.faults and not self.trouble


class _Broken(Exception):
    """The link at which the chain ends."""

    def __init__(self, finding: Finding, detail: str) -> None:
        super().__init__(detail)
        self.fault = Fault(finding, detail)


def chain(
    name: str,
    servers: Sequence[str] = (),
    *,
    deadline_s: float = DEADLINE_S,
    anchors: Anchors | None = None,
    now: float | None = None,
) -> Chain:
    """Follow the chain to the TXT records of ``name``, or to the CNAME that stands there.

    ``servers`` as dns.servers; ``now`` is the time by which signatures are judged. Raises ValueError for a
    resolver that is no IP address, and nothing else.
    """
    name = name.lower().removesuffix(".")
    links: list[str] = []
    walk = _Walk(Recursor(servers, time.monotonic() + deadline_s), anchors or {}, now or time.time(), links)
    try:
        texts = walk.follow(name)
    except _Broken as broken:
        return Chain(faults=(broken.fault,), links=tuple(links), is_anchored=bool(anchors))
    except NoAnswer as trouble:
        return Chain(trouble=str(trouble), links=tuple(links), is_anchored=bool(anchors))
    return Chain(links=tuple(links), is_anchored=bool(anchors), texts=texts)


class _Walk:
    """One walk down the tree. Every method raises NoAnswer, and _Broken where the chain ends."""

    def __init__(self, recursor: Recursor, anchors: Anchors, now: float, links: list[str]) -> None:
        self._recursor = recursor
        self._anchors = anchors
        self._now = now
        self._links = links

    def follow(self, name: str) -> Texts:
        """From the anchor to the name; the TXT records there, () where an alias or nothing is."""
        zones = self._recursor.zones(name)
        top = self._top(zones)
        questions = [(zone.name, kind) for zone in zones[top:] for kind in ("DNSKEY", "DS")]
        jobs = {each: partial(self._recursor.ask, *each, check=False) for each in (*questions, (name, "TXT"))}
        replies = together(jobs, self._recursor.deadline)
        anchor = zones[top].name
        keys = self._anchored(anchor, _reply(replies, anchor, "DNSKEY"))
        for parent, zone in zip(zones[top:], zones[top + 1 :], strict=False):
            keys = self._down(
                parent.name,
                zone.name,
                keys,
                _reply(replies, zone.name, "DS"),
                _reply(replies, zone.name, "DNSKEY"),
            )
        reply = _reply(replies, name, "TXT")
        zone_name = zones[-1].name
        for kind in ("CNAME", "TXT"):
            found = answer(reply, name, kind)
            if found is not None:
                self._verify(reply, name, kind, zone_name, keys)
                self._links.append(f"{kind} of {name}: signed by {_shown(zone_name)}")
                return tuple(tuple(each.strings) for each in found) if kind == "TXT" else ()
        return ()

    def _top(self, zones: Sequence[Zone]) -> int:
        """The lowest zone that has an anchor; without a file, the root."""
        if not self._anchors:
            return 0
        for number in reversed(range(len(zones))):
            if zones[number].name in self._anchors:
                return number
        raise _Broken(Finding.NOT_VALIDATED, "no trust anchor of the file is above the name")

    def _anchored(self, zone: str, reply: dns.message.Message) -> list[DNSKEY]:
        """The keys of the zone at which trust begins."""
        rrset = answer(reply, zone, "DNSKEY")
        if rrset is None:
            raise NoAnswer(f"the resolver has no keys of {_shown(zone)}")
        anchors = self._anchors.get(zone)
        if anchors is None:
            entry = [key for key in rrset if key.flags & 1]
        else:
            entry = [key for key in rrset if any(is_of(anchor, zone, key) for anchor in anchors)]
            if not entry:
                raise _Broken(
                    Finding.DS_MISMATCH,
                    f"no trust anchor of the file is a key of {_shown(zone)} ({tags(rrset)})",
                )
        self._verify(reply, zone, "DNSKEY", zone, entry)
        whose = "the resolver's word" if anchors is None else "the trust anchor"
        self._links.append(f"DNSKEY of {_shown(zone)}: {tags(rrset)}, by {whose}")
        return list(rrset)

    def _down(
        self, parent: str, zone: str, keys: list[DNSKEY], ds_reply: dns.message.Message,
        key_reply: dns.message.Message,
    ) -> list[DNSKEY]:  # fmt: skip
        """From a parent's keys over its DS to the keys of the child."""
        ds, own = answer(ds_reply, zone, "DS"), answer(key_reply, zone, "DNSKEY")
        if ds is None:
            state = "is signed, but" if own is not None else "is not signed, and"
            raise _Broken(Finding.NO_DS, f"{zone} {state} {_shown(parent)} has no DS of it")
        self._verify(ds_reply, zone, "DS", parent, keys)
        known = [each for each in ds if each.algorithm in ALGORITHMS and each.digest_type in DIGESTS]
        if not known:
            raise _Broken(Finding.NO_DS, f"the DS of {zone} at {_shown(parent)} is of a kind that few know")
        if own is None:
            raise _Broken(
                Finding.DS_MISMATCH, f"{_shown(parent)} has a DS of {zone} ({tags(ds)}), which has no keys"
            )
        entry = [key for key in own if any(is_of(each, zone, key) for each in known)]
        if not entry:
            raise _Broken(
                Finding.DS_MISMATCH,
                f"the DS of {zone} at {_shown(parent)} ({tags(ds)}) is of none of its keys ({tags(own)})",
            )
        self._verify(key_reply, zone, "DNSKEY", zone, entry)
        self._links.append(f"DS of {zone} at {_shown(parent)}: {tags(ds)}, matches; DNSKEY: {tags(own)}")
        return list(own)

    def _verify(
        self, reply: dns.message.Message, name: str, kind: str, zone: str, keys: Iterable[DNSKEY]
    ) -> None:
        """Whether one of the keys signed these records, now; _Broken says why none did."""
        what = f"{kind} of {_shown(name)}"
        rrset, signatures = answer(reply, name, kind), answer(reply, name, "RRSIG", kind)
        of_zone = [each for each in signatures or () if text(each.signer) == zone]
        if rrset is None or not of_zone:
            raise _Broken(Finding.SIGNATURE_MISSING, f"{what} has no signature by {_shown(zone)}")
        usable = [key for key in keys if is_usable(key)]
        tries, why = (
            0,
            _Broken(Finding.SIGNATURE_WRONG, f"{what} is signed with no key that is known of {_shown(zone)}"),
        )
        for signature in of_zone:
            if signature.expiration < self._now:
                why = _Broken(Finding.SIGNATURE_EXPIRED, f"{what}, on {_time(signature.expiration)}")
                continue
            if signature.inception > self._now:
                why = _Broken(Finding.SIGNATURE_EARLY, f"{what}, before {_time(signature.inception)}")
                continue
            for key in usable:
                if (tag(key), key.algorithm) != (signature.key_tag, signature.algorithm):
                    continue
                tries += 1
                if tries > MAX_TRIES:
                    raise _Broken(Finding.SIGNATURE_WRONG, f"{what} has too many signatures and keys")
                if is_signed(rrset, signature, key, self._now):
                    return
                why = _Broken(Finding.SIGNATURE_WRONG, f"{what} by key {signature.key_tag} of {_shown(zone)}")
        raise why


def _reply(
    replies: Mapping[tuple[str, str], dns.message.QueryMessage | NoAnswer], name: str, kind: str
) -> dns.message.QueryMessage:
    reply = replies[name, kind]
    if isinstance(reply, NoAnswer):
        raise reply
    return reply


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))


def _shown(zone: str) -> str:
    return zone or "the root"
