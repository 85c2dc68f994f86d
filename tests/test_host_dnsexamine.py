"""What of all that was seen is proof: a chain of trust proves the records at its end, and no others."""

import pytest

from postvouch.host.dnsexamine import Examination, _security
from postvouch.host.dnslook import Look, ResolverAnswer
from postvouch.host.dnssecure import Chain
from postvouch.sign.finding import Finding
from postvouch.values.dns import Status

HERE = ((b"v=DKIM1; ", b"p=AAAA"),)
OTHER = ((b"v=DKIM1; p=BBBB",),)


@pytest.mark.parametrize(
    "proven, is_secure",
    [
        ((HERE,), True),
        (((),), False),
        ((OTHER,), False),
        (((), HERE), True),
        ((HERE, ()), False),
    ],
)
def test_a_trust_anchor_proves_what_the_resolver_has_only_where_the_chain_ends_in_just_that(
    proven, is_secure
):
    # The resolver's answer to us is not signed: whoever forges it can leave the chain alone.
    chains = tuple(Chain(is_anchored=True, texts=texts) for texts in proven)
    look = Look(name="a.example", resolver=ResolverAnswer(status=Status.FOUND, texts=HERE))
    faults = tuple(_security(look, chains))
    assert [fault.finding for fault in faults] == ([] if is_secure else [Finding.NOT_VALIDATED])
    assert Examination(look=look, chains=chains, faults=faults).is_secure is is_secure
    assert not Examination(look=look, chains=chains, faults=()).is_secure or is_secure
