"""Other verifiers of DKIM, each with its DNS answered on this host: what they say of letters of ours.

Each takes whole letters and gives, for each, what it said of every signature of our.example, by selector.
``server`` is as dns.servers wants it, ``records`` the text of each selector's record.
"""

import contextlib
import http.client
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dkim as dkimpy
from letters import message_of
from opendkimd import opendkim, pass_through
from servers import Process, accepts, free_port, program, wait_for

Verdicts = list[dict[str, str]]
"""For each letter, selector to the word: pass, fail, ..."""

_PERL = r"""
use strict; use warnings;
use Mail::DKIM::Verifier; use Net::DNS::Resolver;
my ($port, $list) = @ARGV;
my $resolver = Net::DNS::Resolver->new(nameservers => ["127.0.0.1"], port => $port, recurse => 1);
Mail::DKIM::DNS::resolver($resolver);
open my $names, "<", $list or die $!;
while (my $file = <$names>) {
    chomp $file;
    open my $letter, "<:raw", $file or die $!;
    my $text = do { local $/; <$letter> };
    my $dkim = Mail::DKIM::Verifier->new();
    $dkim->PRINT($text);
    $dkim->CLOSE;
    print join(" ", map { $_->selector . "=" . $_->result } grep { $_->domain eq "our.example" }
        $dkim->signatures), "\n";
}
"""


def by_mail_dkim(letters: list[bytes], folder: Path, server: str) -> Verdicts:
    """Mail::DKIM of Perl, in one process."""
    perl = program("perl", "libmail-dkim-perl")
    for number, letter in enumerate(letters):
        (folder / f"{number}.eml").write_bytes(letter)
    (folder / "list").write_text("".join(f"{folder}/{number}.eml\n" for number in range(len(letters))))
    port = server.partition("@")[2]
    done = subprocess.run(
        [perl, "-e", _PERL, port, str(folder / "list")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"apt install libmail-dkim-perl? {done.stderr}"
    assert len(done.stdout.splitlines()) == len(letters), done.stderr
    return [dict(pair.split("=") for pair in line.split()) for line in done.stdout.splitlines()]


def by_dkimpy(letters: list[bytes], records: dict[str, str]) -> Verdicts:
    """dkimpy, in this process; it is asked for each signature of ours."""

    def txt(name: bytes, timeout: float = 5) -> bytes:
        return records[name.decode().partition(".")[0]].encode()

    found = []
    for letter in letters:
        verdicts = {}
        for index, field in enumerate(message_of(letter).named(b"dkim-signature")):
            selector = re.search(rb"s=(\w+);", field.value)
            if b"d=our.example;" not in field.value or selector is None:
                continue
            try:
                passed = dkimpy.DKIM(letter).verify(idx=index, dnsfunc=txt)
            except dkimpy.DKIMException as error:
                verdicts[selector[1].decode()] = f"{type(error).__name__}: {error}"
            else:
                verdicts[selector[1].decode()] = "pass" if passed else "fail"
        found.append(verdicts)
    return found


_AR = re.compile(r"dkim=(\w+)[^;]*?header\.d=our\.example[^;]*?header\.s=(\w+)", re.DOTALL)


def by_opendkim(letters: list[bytes], folder: Path, records: dict[str, str]) -> Verdicts:
    """OpenDKIM as a milter that verifies, in the order of the signatures."""
    keys = folder / "publickeys"
    keys.write_text("".join(f"{name}._domainkey.our.example {text}\n" for name, text in records.items()))
    configuration = (
        "Mode v\nInternalHosts 192.0.2.1\nAlwaysAddARHeader yes\nMaximumSignaturesToVerify 20\n"
        f"MaximumHeaders 0\nTestPublicKeys {keys}\nOn-Default accept\n"
    )
    found = []
    with opendkim(folder, configuration) as milter:
        for letter in letters:
            message = message_of(letter)
            header = [
                (field.name.rstrip(b" \t"), field.value.replace(b"\r\n", b"\n")) for field in message.fields
            ]
            outcome = pass_through(milter, header, b"".join(message.body))
            texts = " ".join(outcome.inserted("Authentication-Results"))
            found.append({selector: word for word, selector in _AR.findall(texts)})
    return found


_RSPAMD = """
options {{
  pidfile = "{folder}/rspamd.pid"; filters = "dkim"; tempdir = "{folder}";
  dns {{ nameserver = ["127.0.0.1:{dns}"]; timeout = 5s; retransmits = 3; }}
  url_tld = "{folder}/tld"; hs_cache_dir = "{folder}"; control_socket = "";
}}
logging {{ type = "console"; level = "warning"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
dkim {{ enabled = true; trusted_only = false; check_local = true; check_authed = true; max_sigs = 20; }}
actions {{ reject = 1000; }}
"""

_SYMBOLS = {
    "R_DKIM_ALLOW": "pass",
    "R_DKIM_REJECT": "fail",
    "R_DKIM_TEMPFAIL": "temperror",
    "R_DKIM_PERMFAIL": "permerror",
}


@contextlib.contextmanager
def rspamd(folder: Path, server: str) -> Iterator[int]:
    """A private rspamd that checks DKIM and nothing else; the port of its HTTP."""
    binary, port = program("rspamd", "rspamd"), free_port()
    conf = folder / "rspamd.conf"
    (folder / "tld").write_text("example\n")  # the real list takes seconds to compile
    conf.write_text(_RSPAMD.format(folder=folder, port=port, dns=server.partition("@")[2]))
    process = Process([binary, "-f", "--insecure", "-c", str(conf)], folder / "rspamd.log")

    def ready() -> bool:
        assert process.popen.poll() is None, process.text()
        return accepts(port)

    try:
        wait_for(ready, "rspamd listens", 20)
        yield port
    finally:
        process.stop()


def by_rspamd(letters: list[bytes], folder: Path, server: str) -> Verdicts:
    """rspamd over HTTP; of several signatures with one result it names the domain and the selector."""
    found = []
    with rspamd(folder, server) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for letter in letters:
            connection.request("POST", "/checkv2", letter, {"IP": "192.0.2.7", "From": "bob@our.example"})
            answer = json.loads(connection.getresponse().read())
            verdicts = {}
            for symbol, word in _SYMBOLS.items():
                for option in answer["symbols"].get(symbol, {}).get("options", ()):
                    domain, _, selector = option.partition(":s=")
                    if domain == "our.example":
                        verdicts[selector.partition(":")[0]] = word
            found.append(verdicts)
        connection.close()
    return found
