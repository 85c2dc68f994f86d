"""The LDAP adapter against a real slapd: complete answers, and every kind of incomplete one."""

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from names import read
from servers import Slapd, free_port, ldif_of

from postvouch.config.kinds import Duration, SecretPath
from postvouch.config.names import Ldap
from postvouch.directory import ldap, resolve
from postvouch.directory.compile import compile_directory
from postvouch.directory.model import FILES, LDAP, Directory, Entry, Kind, Part
from postvouch.values.answer import Found, NotFound

ACCOUNTS = """
carol
alice emailForward=Alice@gmail.example emailAlias=alice.b@our.example
bob emailForward=bob@riseup.example
grants roleMember=uid=alice,ou=users,dc=our,dc=example roleMember=bob
press emailForward=desk@far.example roleMember=uid=CAROL,ou=Users,dc=our,dc=example roleMember=x@y.example
board roleMember=uid=grants,ou=users,dc=our,dc=example
"""
PROBLEMS: list[str] = []
DOMAINS = Part(
    origin=FILES, read_at=1.0,
    entries=(Entry(kind=Kind.DOMAIN, name="our.example", values=(), source="test"),),
)  # fmt: skip


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a self-signed certificate for localhost (cert.pem, key.pem)."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC).replace(tzinfo=None)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[Slapd]:
    many = "".join(f"user{n} emailForward=user{n}@gmail.example\n" for n in range(40))
    tls = f"TLSCertificateFile {certificate}/cert.pem\nTLSCertificateKeyFile {certificate}/key.pem"
    server = Slapd(
        tmp_path_factory.mktemp("slapd"), ldif_of(ACCOUNTS + many), tls=tls,
        readers='dn="cn=reader,dc=our,dc=example"', sizelimit="size=20 size.pr=20 size.prtotal=unlimited",
    )  # fmt: skip
    yield server
    server.stop()


@pytest.fixture
def settings(slapd: Slapd, tmp_path: Path) -> Ldap:
    (tmp_path / "password").write_text("readme\n")
    return Ldap(
        uri=f"ldap://127.0.0.1:{slapd.port}", base="ou=users,dc=our,dc=example",
        filter="(objectClass=mailThing)",
        bind_dn="cn=reader,dc=our,dc=example", password_file=SecretPath(str(tmp_path / "password")),
        alias_attribute="emailAlias", member_attribute="roleMember", page_size=10, timeout=Duration(1),
    )  # fmt: skip


def directory_of(settings: Ldap) -> Directory:
    part, problems = ldap.read(settings, "our.example", now=2.0)
    assert [p.text for p in problems] == PROBLEMS
    assert part.origin == LDAP
    assert part.read_at == 2.0
    return compile_directory((DOMAINS, part)).directory


def reason(settings: Ldap) -> str:
    with pytest.raises(ldap.DirectoryUnavailable) as caught:
        ldap.read(settings, "our.example", now=2.0)
    return str(caught.value)


def test_all_pages_are_read_and_become_names(settings: Ldap) -> None:
    directory = directory_of(settings)
    assert len(directory.names) == 46
    assert resolve.forward(directory, "user39@our.example") == Found(
        "user39@gmail.example", "uid=user39,ou=users,dc=our,dc=example"
    )
    assert resolve.forward(directory, "Alice.B@our.example") == Found(
        "Alice@gmail.example", "uid=alice,ou=users,dc=our,dc=example"
    )


def test_an_account_without_a_forward_has_rights_and_gets_no_mail(settings: Ldap) -> None:
    directory = directory_of(settings)
    assert isinstance(resolve.recipients(directory, "carol@our.example"), NotFound)
    assert resolve.may_send(directory, "carol", "carol@our.example")


def test_members_own_a_role_whether_given_as_dn_login_or_address(settings: Ldap) -> None:
    directory = directory_of(settings)
    assert resolve.owners(directory, "grants@our.example") == Found("alice,bob")
    assert resolve.owners(directory, "press@our.example") == Found("carol")
    assert resolve.owners(directory, "board@our.example") == Found("alice,bob")
    assert resolve.owners(directory, "alice.b@our.example") == Found("alice")


def test_mail_to_a_role_goes_to_its_forward_or_else_to_its_members(settings: Ldap) -> None:
    directory = directory_of(settings)
    assert resolve.forward(directory, "press@our.example").value == "desk@far.example"  # type: ignore[union-attr]
    assert resolve.forward(directory, "grants@our.example").value == "Alice@gmail.example, bob@riseup.example"  # type: ignore[union-attr]


def test_ldaps_and_starttls_work_with_the_right_ca(settings: Ldap, slapd: Slapd, certificate: Path) -> None:
    ca = str(certificate / "cert.pem")
    ldaps = replace(settings, uri=f"ldaps://localhost:{slapd.tls_port}", ca_file=ca)
    starttls = replace(settings, uri=f"ldap://localhost:{slapd.port}", starttls=True, ca_file=ca)
    assert len(directory_of(ldaps).names) == len(directory_of(starttls).names) == 46


def test_an_unknown_ca_or_a_wrong_host_name_is_refused(
    settings: Ldap, slapd: Slapd, certificate: Path
) -> None:
    system = replace(settings, uri=f"ldaps://localhost:{slapd.tls_port}")
    assert "certificate verify failed" in reason(system)
    other = replace(system, uri=f"ldaps://127.0.0.1:{slapd.tls_port}", ca_file=str(certificate / "cert.pem"))
    assert "IP address mismatch" in reason(other)
    starttls = replace(settings, starttls=True)
    assert "certificate verify failed" in reason(starttls)


def test_a_wrong_password_is_said(settings: Ldap) -> None:
    Path(settings.password_file).write_text("wrong\n")
    assert (
        reason(settings)
        == f"{settings.uri}: bind refused: invalidCredentials: wrong password, or no such ldap.bind_dn"
    )


def test_an_empty_password_never_becomes_an_anonymous_bind(settings: Ldap) -> None:
    Path(settings.password_file).write_text("\n")
    assert "gives no password" in reason(settings)


def test_a_missing_base_and_a_bad_filter_are_said(settings: Ldap) -> None:
    assert "noSuchObject" in reason(replace(settings, base="ou=nobody,dc=our,dc=example"))
    assert reason(replace(settings, filter="(uid=*"))


def test_a_server_that_is_down_is_said_at_once(settings: Ldap) -> None:
    begun = time.monotonic()
    assert reason(replace(settings, uri=f"ldap://127.0.0.1:{free_port()}"))
    assert time.monotonic() - begun < 1.0


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
def test_a_server_that_hangs_costs_the_timeout_and_no_more(
    settings: Ldap, slapd: Slapd, certificate: Path, scheme: str
) -> None:
    port = slapd.port if scheme == "ldap" else slapd.tls_port
    hung = replace(settings, uri=f"{scheme}://localhost:{port}", ca_file=str(certificate / "cert.pem"))
    slapd.process.send(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert "timed out" in reason(hung)
        assert time.monotonic() - begun < 4.0
    finally:
        slapd.process.send(signal.SIGCONT)


def test_half_a_result_is_no_result(settings: Ldap, tmp_path: Path) -> None:
    many = "".join(f"user{n} emailForward=user{n}@gmail.example\n" for n in range(30))
    limited = Slapd(tmp_path / "limited", ldif_of(many), sizelimit="size=20 size.prtotal=20")
    try:
        anonymous = replace(settings, uri=f"ldap://127.0.0.1:{limited.port}", bind_dn="")
        assert "sizeLimitExceeded" in reason(anonymous)
    finally:
        limited.stop()


def translated(*records: ldap.Record, domain: str = "our.example") -> tuple[Directory, list[str]]:
    entries, problems = ldap.translate(records, Ldap(alias_attribute="emailAlias"), domain)
    compiled = compile_directory((DOMAINS, Part(origin=LDAP, strict=False, entries=entries, read_at=1.0)))
    return compiled.directory, [str(p) for p in (*problems, *compiled.problems)]


def record(uid: str, **attributes: str) -> ldap.Record:
    values = {name.lower(): value.split() for name, value in attributes.items()}
    return ldap.Record(f"uid={uid},ou=users", {"uid": [uid], **values})


def test_a_bad_target_costs_itself_and_names_its_entry() -> None:
    directory, problems = translated(record("alice", emailForward="nonsense alice@gmail.example"))
    assert resolve.forward(directory, "alice@our.example").value == "alice@gmail.example"  # type: ignore[union-attr]
    (problem,) = [p for p in problems if "nonsense" in p]
    assert problem.startswith("uid=alice,ou=users: ")


def test_an_alias_attribute_takes_nobody_elses_address() -> None:
    mallory = record("mallory", emailForward="m@far.example", emailAlias="bob@our.example x@our.example")
    bob = record("bob", emailForward="bob@riseup.example")
    for records in ((mallory, bob), (bob, mallory)):
        directory, problems = translated(*records)
        assert resolve.owners(directory, "bob@our.example") == Found("bob")
        assert resolve.forward(directory, "bob@our.example").value == "bob@riseup.example"  # type: ignore[union-attr]
        assert resolve.owners(directory, "x@our.example") == Found("mallory")
        assert any("belongs to uid=bob,ou=users" in p for p in problems)


@pytest.mark.parametrize(
    "wanted", ["carol@our.example", "carol@old.example", "bob@old.example", "team@old.example"]
)
def test_an_alias_attribute_takes_nobodys_address_from_the_files_or_an_alias_domain(wanted: str) -> None:
    named, _ = read(
        "domains: {our.example: primary, old.example: our.example}\n"
        "aliases: {team: [carol]}\nlogins: {carol: [carol@our.example]}\n"
    )
    entries, _ = ldap.translate(
        [
            record("mallory", emailForward="m@far.example", emailAlias=f"{wanted} x@old.example"),
            record("bob"),
        ],
        Ldap(alias_attribute="emailAlias"),
        "our.example",
    )
    made = compile_directory([named, Part(origin=LDAP, strict=False, entries=entries, read_at=1.0)])
    assert not resolve.may_send(made.directory, "mallory", wanted)
    assert any(f"{wanted} belongs to " in problem.text for problem in made.problems)
    assert resolve.may_send(made.directory, "mallory", "x@old.example")


def test_an_attribute_gives_no_right_to_a_strangers_address() -> None:
    directory, _ = translated(record("mallory@far.example", emailForward="m@far.example"))
    assert not resolve.may_send(directory, "mallory@far.example", "mallory@far.example")
    directory, _ = translated(record("mallory", emailAlias="ceo@far.example"))
    assert not resolve.may_send(directory, "mallory", "ceo@far.example")


def test_a_forward_to_itself_defers_and_freezes_nobody_else() -> None:
    directory, problems = translated(
        record("alice", emailForward="alice@our.example"), record("bob", emailForward="bob@riseup.example")
    )
    assert "loop" in resolve.recipients(directory, "alice@our.example").reason  # type: ignore[union-attr]
    assert isinstance(resolve.recipients(directory, "bob@our.example"), Found)
    assert any("alice@our.example -> alice@our.example" in p for p in problems)
