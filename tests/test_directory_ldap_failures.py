"""Every way in which LDAP fails us: nothing of it is taken, in bounded time, and a person can read why."""

import ast
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import badldap
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from servers import Slapd, free_port, ldif_of

from postvouch.config.kinds import Duration
from postvouch.config.names import Ldap
from postvouch.directory import ldap, ldapconnect
from postvouch.directory.model import Entry, Kind, Part

MANY = "".join(f"user{n} emailForward=user{n}@gmail.example\n" for n in range(60))
REFERENCE = (
    "\ndn: ou=elsewhere,ou=users,dc=our,dc=example\nobjectClass: referral\nobjectClass: extensibleObject\n"
    "ou: elsewhere\nref: ldap://127.0.0.1:{port}/ou=users,dc=our,dc=example\n"
)


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for localhost that ended yesterday."""
    folder = tmp_path_factory.mktemp("expired")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC).replace(tzinfo=None)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=9)).not_valid_after(now - timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory, expired: Path) -> Iterator[Slapd]:
    tls = f"TLSCertificateFile {expired}/cert.pem\nTLSCertificateKeyFile {expired}/key.pem"
    server = Slapd(
        tmp_path_factory.mktemp("slapd"), ldif_of(MANY), tls=f"{tls}\nreferral ldap://other.our.example"
    )
    yield server
    server.stop()


@pytest.fixture
def settings(slapd: Slapd) -> Ldap:
    return at(slapd.port)


def at(port: int) -> Ldap:
    return Ldap(
        uri=f"ldap://127.0.0.1:{port}", base="ou=users,dc=our,dc=example", filter="(objectClass=mailThing)",
        page_size=20, timeout=Duration(0.6), deadline=Duration(1.2),
    )  # fmt: skip


def reason(settings: Ldap, previous: Part | None = None) -> str:
    """Why it failed, and that it took no longer than it may."""
    begun = time.monotonic()
    with pytest.raises(ldap.DirectoryUnavailable) as caught:
        ldap.read(settings, "our.example", now=2.0, previous=previous)
    assert time.monotonic() - begun < settings.deadline + 1.0
    text = str(caught.value)
    assert text.startswith(settings.uris[0])
    return text.removeprefix(f"{settings.uris[0]}: ")


def test_a_server_that_is_down_is_told_from_one_that_is_silent() -> None:
    assert reason(at(free_port())) == "nobody listens there (connection refused)"
    with badldap.server(badldap.silent) as port:
        assert reason(at(port)) == "does not answer (timed out)"


@pytest.mark.parametrize("starttls", [False, True])
def test_a_server_that_drips_costs_the_deadline_and_no_more(starttls: bool) -> None:
    with badldap.server(badldap.drips) as port:
        said = reason(replace(at(port), starttls=starttls))
    assert said == "was not done in time (ldap.deadline is 1.2 s)"


def test_a_tls_handshake_that_never_ends_costs_the_timeout_and_no_more() -> None:
    for behave in (badldap.silent, badldap.drips):
        with badldap.server(behave) as port:
            assert reason(replace(at(port), uri=f"ldaps://127.0.0.1:{port}"))


def test_a_whole_result_that_comes_too_slowly_is_none(slapd: Slapd) -> None:
    with badldap.server(badldap.between(slapd.port, delay=0.5)) as port:
        assert "was not done in time" in reason(at(port))


@pytest.mark.parametrize("octets", [20, 1000, 3000, 5000])
def test_a_connection_that_is_cut_gives_nothing_on_whatever_page(slapd: Slapd, octets: int) -> None:
    with badldap.server(badldap.between(slapd.port, cut_after=octets)) as port:
        assert reason(at(port)) == "ended the connection before its answer was whole"


def test_another_protocol_is_no_directory() -> None:
    with badldap.server(badldap.nonsense) as port:
        assert reason(at(port))


@pytest.mark.parametrize(
    "code, words",
    [
        (3, "its time limit for us is too short"), (4, "its size limit for us is too small"),
        (11, "its limits for us"), (32, "(ldap.base)"), (50, "does not let us read ou=users"),
        (51, "too busy"), (52, "shutting down"), (10, "not followed"), (80, "other"),
    ],
)  # fmt: skip
def test_a_search_that_ends_badly_is_said_in_words(code: int, words: str) -> None:
    with badldap.server(badldap.ends_searches_with(code)) as port:
        said = reason(at(port))
    assert said.startswith("the search ended with ")
    assert words in said


def test_an_expired_certificate_is_said(slapd: Slapd, expired: Path) -> None:
    ldaps = replace(at(slapd.port), uri=f"ldaps://localhost:{slapd.tls_port}", ca_file=f"{expired}/cert.pem")
    assert "certificate has expired" in reason(ldaps)


def test_a_missing_ca_or_password_file_is_named(settings: Ldap) -> None:
    assert "ldap.ca_file /nowhere/ca.pem: No such file" in reason(
        replace(settings, ca_file="/nowhere/ca.pem")
    )
    assert "/nowhere/password: No such file" in reason(
        replace(settings, bind_dn="cn=x", password_file="/nowhere/password")  # type: ignore[arg-type]
    )


def test_a_referral_is_not_followed_and_said(settings: Ldap) -> None:
    said = reason(replace(settings, base="ou=users,dc=far,dc=example"))
    assert "referral: sends us to ldap://other.our.example" in said
    assert "name that server in ldap.uri" in said


def test_references_that_lead_in_a_circle_are_not_followed_and_said(tmp_path: Path) -> None:
    folder = tmp_path / "circle"
    server = Slapd(folder, ldif_of(MANY) + REFERENCE.format(port=free_port()))
    try:
        part, problems = ldap.read(at(server.port), "our.example", now=2.0)
    finally:
        server.stop()
    assert len([e for e in part.entries if e.kind is Kind.LOGIN]) == 60
    assert ["which is not followed" in p.text for p in problems] == [True]
    assert not problems[0].fatal


def test_no_account_at_all_where_there_were_some_is_no_answer(settings: Ldap) -> None:
    entry = Entry(kind=Kind.LOGIN, name="bob", values=("bob@our.example",), source="uid=bob")
    before = Part(origin="ldap", strict=False, entries=(entry,), read_at=1.0)
    nothing = replace(settings, filter="(uid=nobody)")
    assert "no account below ou=users" in reason(nothing, before)
    assert "no account" in reason(replace(settings, login_attribute="title"), before)
    assert ldap.read(nothing, "our.example", now=2.0)[0].entries == ()


def test_the_next_server_is_asked_when_one_fails_and_all_reasons_are_said(slapd: Slapd) -> None:
    dead, port = free_port(), slapd.port
    with badldap.server(badldap.drips) as slow:
        both = replace(
            at(port), uri=f"ldap://127.0.0.1:{dead} ldap://127.0.0.1:{slow} ldap://127.0.0.1:{port}"
        )
        assert len(ldap.read(both, "our.example", now=2.0)[0].entries) == 120
        none = replace(at(port), uri=f"ldap://127.0.0.1:{dead} ldap://127.0.0.1:{slow}")
        said = reason(none)
    assert "connection refused" in said
    assert f"; ldap://127.0.0.1:{slow}: was not done in time" in said


def test_there_is_no_way_to_write() -> None:
    writing = {"add", "modify", "modify_dn", "delete", "extend", "standard", "rebind", "add_operation"}
    folder = Path(ldapconnect.__file__).parent
    for path in folder.glob("ldap*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value)
                assert node.func.attr not in writing or "connection" not in owner, f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute) and "connection" in ast.unparse(node.value):
                assert node.attr not in writing, f"{path}:{node.lineno}"


def test_the_connection_itself_refuses_to_write(settings: Ldap) -> None:
    ldap3 = ldapconnect.library()
    connection = ldapconnect.connection_to(ldap3, settings, settings.uri, time.monotonic() + 5)
    try:
        ldapconnect.bind(connection, settings, time.monotonic() + 5)
        assert connection.read_only
        with pytest.raises(ldap3.core.exceptions.LDAPConnectionIsReadOnlyError):
            connection.delete("uid=user1,ou=users,dc=our,dc=example")
    finally:
        ldapconnect.close(connection)
