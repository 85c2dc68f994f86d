"""What rspamd and SpamAssassin get to read our field; both programs themselves read it in the lab."""

import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postvouch.auth.authres import ResInfo, write
from postvouch.config.snippets import FILTERS, filter_snippet

ID = "mx-1.our.example"
RULE = re.compile(r"^header +(\w+) +Authentication-Results:raw:first =~ /(.+)/(s?)$", re.MULTILINE)
# Fields come in hex, a line each; out go the numbers of the rules that hit, by Perl's own engine.
PERL = """
my @rules = map { qr/$_/s } @ARGV;
while (my $line = <STDIN>) {
  my $field = pack 'H*', $line =~ s/\\s//gr;
  print join(' ', grep { $field =~ $rules[$_] } 0 .. $#rules), "\\n";
}
"""


def rules(authserv_id: str = ID) -> dict[str, str]:
    """The rules on our field with their tags put in, as SpamAssassin's ReplaceTags does."""
    text = filter_snippet("spamassassin", authserv_id)
    tags = dict(re.findall(r"^replace_tag +(\w+) +(.+)$", text, re.MULTILINE))
    found = {
        name: re.sub(r"<(PV_\w+)>", lambda tag: tags[tag[1]], rule) for name, rule, _ in RULE.findall(text)
    }
    replaced = re.findall(r"^replace_rules +(.+)$", text, re.MULTILINE)
    assert set(" ".join(replaced).split()) == set(found)
    return found


def hits(fields: list[str]) -> list[set[str]]:
    """The names of the rules that hit each field."""
    wanted = rules()
    lines = "".join(field.encode().hex() + "\n" for field in fields)
    run = subprocess.run(
        ["perl", "-e", PERL, *wanted.values()],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    names = list(wanted)
    return [{names[int(number)] for number in line.split()} for line in run.stdout.split("\n")[: len(fields)]]


HOSTILE = st.lists(
    st.sampled_from(
        [
            "dmarc=pass",
            "spf=pass",
            "dkim=pass",
            "dmarc=fail",
            "policy.dmarc=none",
            ";",
            " ",
            '"',
            "\\",
            "(",
            ")",
            "a",
            "@",
        ]
    ),
    max_size=8,
).map("".join)
WORDS = ("none", "neutral", "pass", "fail", "policy", "softfail", "temperror", "permerror")


@st.composite
def results(draw: st.DrawFn) -> list[ResInfo]:
    """Results as our verifier writes them, with a stranger's words wherever a stranger's words can be."""

    def one(method: str, *names: str) -> ResInfo:
        properties = tuple((name, draw(HOSTILE)) for name in names)
        if method == "dmarc":
            properties += (("policy.dmarc", draw(st.sampled_from(["none", "quarantine", "reject"]))),)
        return ResInfo(
            method=method,
            result=draw(st.sampled_from(WORDS)),
            reason=draw(HOSTILE),
            comment=draw(HOSTILE),
            properties=properties,
        )

    return [
        one("spf", "smtp.mailfrom"),
        one("spf", "smtp.helo"),
        *(one("dkim", "header.d", "header.i", "header.s") for _ in range(draw(st.integers(0, 3)))),
        one("arc", "header.oldest-pass"),
        one("iprev", "policy.iprev"),
        one("dmarc", "header.from"),
    ]


def expected(infos: list[ResInfo]) -> set[str]:
    """The rules that should hit."""
    spf, dmarc = infos[0].result, infos[-1]
    found = {"POSTVOUCH"}
    found |= {f"POSTVOUCH_SPF_{spf.upper()}"} & {
        "POSTVOUCH_SPF_PASS",
        "POSTVOUCH_SPF_SOFTFAIL",
        "POSTVOUCH_SPF_FAIL",
    }
    dkim = {info.result for info in infos if info.method == "dkim"}
    found |= ({"POSTVOUCH_DKIM_PASS"} if "pass" in dkim else set()) | (
        {"__POSTVOUCH_DKIM_FAIL"} if "fail" in dkim else set()
    )
    if dmarc.result == "pass":
        found.add("POSTVOUCH_DMARC_PASS")
    if dmarc.result == "fail":
        found.add("__POSTVOUCH_DMARC_FAIL")
        policy = dmarc.value("policy.dmarc")
        found |= {f"POSTVOUCH_DMARC_{str(policy).upper()}"} - {"POSTVOUCH_DMARC_NONE"}
    return found


@settings(max_examples=25, deadline=None)
@given(st.lists(results(), min_size=1, max_size=40))
def test_spamassassin_reads_what_we_wrote_and_nothing_that_a_stranger_did(each: list[list[ResInfo]]) -> None:
    fields = [" " + write(ID, infos) for infos in each]
    assert hits(fields) == [expected(infos) for infos in each]


def test_a_result_within_a_nested_comment_is_none() -> None:
    field = (
        f" {ID}; spf=none (a (dmarc=fail; \\) ; dkim=pass) b; spf=fail; dmarc=pass); dmarc=fail header.from=a"
    )
    assert hits([field]) == [{"POSTVOUCH", "__POSTVOUCH_DMARC_FAIL"}]


def test_our_field_is_ours_in_any_case_and_no_other_is() -> None:
    others = [
        " mx-1xour.example; spf=pass",
        " amx-1.our.example; spf=pass",
        f" {ID}.far.example; spf=pass",
        f" a {ID};",
    ]
    assert hits([f" {ID.upper()};\n none", *others]) == [{"POSTVOUCH"}, *(set() for _ in others)]


@pytest.mark.parametrize(
    "field", [";" * 50_000, "; a" * 30_000, ';"' * 30_000, "; (" * 30_000, ";(" + ")(" * 30_000]
)
def test_no_field_keeps_spamassassin_busy(field: str) -> None:
    assert hits([f" {ID}; spf=none{field}"]) in ([{"POSTVOUCH"}], [set()])


@pytest.mark.parametrize("name", FILTERS)
def test_every_word_of_a_filters_snippet_is_filled_in(name: str) -> None:
    text = filter_snippet(name, ID)
    assert not re.search(r"@\w+\??@", text)
    assert re.escape(ID) in text or f"'{ID}'" in text


def test_both_filters_know_every_mark_of_a_spoof_and_of_a_bad_author() -> None:
    spoofs = set(re.findall(r"\['([\w-]+)'\] = 'POSTVOUCH_SPOOF'", filter_snippet("rspamd", ID)))
    assert spoofs == {"spoof", "spoof-sender"}
    text = filter_snippet("spamassassin", ID)
    (spoof,) = re.findall(r"__POSTVOUCH_SPOOF +X-Postvouch-Mark:raw:first =~ /(.+)/", text)
    (author,) = re.findall(r"__POSTVOUCH_BAD_AUTHOR +X-Postvouch-Mark:raw:first =~ /(.+)/", text)
    assert all(re.match(spoof, code) for code in spoofs)
    authors = set(re.findall(r"\['([\w-]+)'\] = 'POSTVOUCH_BAD_AUTHOR'", filter_snippet("rspamd", ID)))
    assert authors
    assert all(re.match(author, f" {code}") for code in authors)
