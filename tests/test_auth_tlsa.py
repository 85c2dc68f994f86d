"""TLSA records of a certificate."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth.tlsa import names_another, of_certificate


def certificate(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.our.example")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now,
                                   now + timedelta(days=90))  # fmt: skip
    return made.sign(key, SHA256())


@pytest.fixture(scope="module")
def key():
    return ec.generate_private_key(ec.SECP256R1())


def test_the_key_is_named_first_and_a_renewed_certificate_has_the_same(key):
    first, second = (certificate(key).public_bytes(Encoding.PEM) for _ in range(2))
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert of_certificate(first)[0] == f"3 1 1 {hashlib.sha256(public).hexdigest()}"
    assert of_certificate(first)[:2] == of_certificate(second)[:2]
    assert not set(of_certificate(first)[2:]).intersection(of_certificate(second)[2:])
    assert of_certificate(b"text before\n" + first + second) == of_certificate(first)


def test_a_record_of_another_certificate_is_told_from_what_may_be_ours(key):
    ours = of_certificate(certificate(key).public_bytes(Encoding.PEM))
    other = of_certificate(certificate(ec.generate_private_key(ec.SECP256R1())).public_bytes(Encoding.PEM))
    assert names_another(other[:1], ours)
    assert not names_another((*other, ours[3].upper()), ours)
    assert not names_another(("2 1 1 ab", other[0]), ours)
    assert not names_another(other, ())
    assert not names_another((), ours)


@given(st.binary(max_size=200), st.booleans())
def test_what_is_no_certificate_has_no_record(junk, is_framed):
    framed = b"-----BEGIN CERTIFICATE-----\n" + junk + b"\n-----END CERTIFICATE-----\n"
    assert of_certificate(framed if is_framed else junk) == ()
