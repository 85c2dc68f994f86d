"""The table [verdict]: what postvouch-verify does about what it found; what it looks for is [verify]."""

from dataclasses import dataclass

from postvouch.auth.policy import ACTIONS
from postvouch.config.kinds import Domain, Network, setting

PATIENT = ACTIONS[:-1]
"""For what DNS trouble leaves open: nothing is refused for good that may be true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What happens to mail from outside. There are three kinds of author: our own domains (own_), domains
    that publish p=quarantine or p=reject (enforced_), all others (other_). Of several rules that apply the
    sternest wins. The actions: accept; mark, a field X-Postvouch-Mark says why, for filters to read;
    quarantine, that too and Postfix holds it; defer (451); reject (550). Mail of our own clients and logins
    is not judged."""

    mode: str = setting(
        "monitor",
        "monitor: nothing is marked, held or refused; log, metrics and postvouch verify say what would be "
        "(would=reject). enforce: it happens.",
        choices=("monitor", "enforce"),
    )
    own_fail: str = setting(
        "reject",
        "A domain of ours in From: or as the envelope sender, and no aligned pass proves it. SRS senders of "
        "ours, which come back from whoever forwards what we forwarded, are none.",
        choices=ACTIONS,
    )
    own_temperror: str = setting("defer", "The same, while DNS trouble leaves it open.", choices=PATIENT)
    own_hosts: tuple[Network, ...] = setting(
        (),
        "Strangers' hosts that may write as us without proof (a printer, a newsletter service). Their mail "
        "is let in and never signed; better give them a login or a key.",
    )
    own_url: str = setting(
        "",
        "A page that tells a member how to send; it ends the text of the refusal.",
        example='"https://our.example/mail"',
    )
    enforced_reject: str = setting(
        "mark", "DMARC fails and the author's domain publishes p=reject.", choices=ACTIONS
    )
    enforced_quarantine: str = setting(
        "mark", "DMARC fails and the author's domain publishes p=quarantine.", choices=ACTIONS
    )
    enforced_temperror: str = setting(
        "accept", "Such a domain, while DNS trouble leaves DMARC open.", choices=PATIENT
    )
    other_fail: str = setting("accept", "DMARC fails under p=none.", choices=ACTIONS)
    other_none: str = setting("accept", "The author's domain publishes no DMARC record.", choices=ACTIONS)
    other_temperror: str = setting(
        "accept",
        "DNS trouble leaves open whether there is a record, or DMARC under p=none.",
        choices=PATIENT,
    )
    bad_author: str = setting(
        "mark", "From: does not hold exactly one valid address (DMARC has nothing to say).", choices=ACTIONS
    )
    exempt_hosts: tuple[Network, ...] = setting(
        (), "Clients to whose mail no action applies: trusted forwarders, list servers."
    )
    exempt_names: tuple[Domain, ...] = setting(
        (),
        "The same by name: clients with a name in these domains that leads back to their address (iprev). "
        "HELO counts for nothing.",
    )
    exempt_domains: tuple[Domain, ...] = setting(
        (),
        "Author domains, never ours, whose failures count for nothing. Anybody can write such a From:; so "
        "our own domain in the envelope is no less a spoof for it.",
    )
    exempt_lists: tuple[str, ...] = setting(
        (),
        "Mailing lists to whose letters no action applies: what List-Id says between < and >, or a domain "
        "that this ends with. DKIM or SPF must have passed for the list's host, which is its name with or "
        "without the first label, or a domain between that and the label before this entry.",
        example='["dev.lists.far.example"]',
    )
    exempt_sealers: tuple[Domain, ...] = setting(
        (),
        "ARC sealers (d=) that we believe. Where a chain passes, they alone handled the letter from some hop "
        "on, and that hop or a later one saw dmarc=pass for its author, no action applies. ARC is an "
        "experiment at its end.",
    )
    exempt_temperror: str = setting(
        "accept",
        "DNS trouble leaves open what one of these exemptions excuses. Where it leaves the exemption itself "
        "open, what would be refused is deferred.",
        choices=("accept", "defer"),
    )
