"""What the package ``dmarc`` would have said, beside what we say (docs/decisions/0003-dmarc-library.rst)."""

from types import SimpleNamespace
from typing import Any

import pytest
from fakedns import zone

from postvouch.auth import dmarc as ours
from postvouch.auth.dmarcrecord import find_record, parse_record
from postvouch.auth.result import DkimFinding, Result, SpfFinding
from postvouch.values.address import Address, OneAuthor

theirs: Any = pytest.importorskip("dmarc")
NO_SPF = SpfFinding(result=Result.NONE)


def _ours(author: str, signer: str, *records: str, result: Result = Result.PASS) -> Result:
    dkim = [DkimFinding(result=result, d=signer)]
    return ours.evaluate(OneAuthor(Address("a", author)), NO_SPF, dkim, zone(*records)).result


def _theirs(author: str, signer: str, record: str) -> str:
    policy = theirs.DMARC().parse_record(record, author)
    signed = theirs.DKIM(signer, theirs.DKIMResult.PASS)
    return str(theirs.DMARC().get_result(policy, dkim=signed).result.value)


@pytest.mark.parametrize(
    "author, signer, record",
    [
        ("example.com", "com", "v=DMARC1; p=reject"),
        ("victim.co.uk", "co.uk", "v=DMARC1; p=reject"),
        ("github.io", "evil.github.io", "v=DMARC1; p=reject; psd=y"),
    ],
)
def test_l1_a_public_suffix_and_who_is_below_it_do_not_speak_for_each_other(
    author: str, signer: str, record: str
) -> None:
    assert _theirs(author, signer, record) == "pass"
    assert _ours(author, signer, f"_dmarc.{author} TXT {record}") is Result.FAIL


def test_l1_one_organisation_still_aligns() -> None:
    assert (
        _ours("mail.far.example", "far.example", "_dmarc.far.example TXT v=DMARC1; p=reject") is Result.PASS
    )


@pytest.mark.parametrize("record", ["v=DMARC1;; p=reject", "v=DMARC1; junk; p=reject"])
def test_l2_a_typing_mistake_does_not_void_the_record(record: str) -> None:
    with pytest.raises(theirs.RecordSyntaxError):
        theirs.DMARC().parse_record(record, "far.example", strict=False)
    read = parse_record(record.encode())
    assert read is not None
    assert read.p == "reject"


def test_l2_reports_without_a_policy_mean_none() -> None:
    record = "v=DMARC1; rua=mailto:Reports@far.example"
    with pytest.raises(theirs.RecordSyntaxError):
        theirs.DMARC().parse_record(record, "far.example", strict=False)
    read = parse_record(record.encode())
    assert read is not None
    assert (read.p, read.usable, read.rua) == ("none", True, ("mailto:Reports@far.example",))


def test_l2_np_and_psd_are_read_and_addresses_keep_their_capitals() -> None:
    record = "v=DMARC1; p=none; np=reject; psd=n; rua=mailto:Reports@Far.example"
    policy = theirs.DMARC().parse_record(record, "far.example")
    assert not hasattr(policy, "np")
    assert not hasattr(policy, "psd")
    assert policy.rua == ["mailto:reports@far.example"]
    read = parse_record(record.encode())
    assert read is not None
    assert (read.np, read.psd, read.rua) == ("reject", "n", ("mailto:Reports@Far.example",))


def test_l3_other_txt_beside_the_record_does_no_harm() -> None:
    from dmarc import resolver

    texts = (b"google-site-verification=1", b"v=DMARC1; p=reject")
    with pytest.raises(resolver.RecordMultiFoundError):
        resolver.response([SimpleNamespace(strings=[text]) for text in texts])
    read = find_record(texts)
    assert read is not None
    assert read.p == "reject"


def test_a_temporary_error_is_not_a_failure() -> None:
    policy = theirs.DMARC().parse_record("v=DMARC1; p=reject", "far.example")
    trouble = theirs.DKIM("far.example", theirs.DKIMResult.TEMPFAIL)
    assert theirs.DMARC().get_result(policy, dkim=trouble).disposition is theirs.DMARCDisposition.REJECT
    record = "_dmarc.far.example TXT v=DMARC1; p=reject"
    assert _ours("far.example", "far.example", record, result=Result.TEMPERROR) is Result.TEMPERROR
