"""TLSA records of a certificate (RFC 6698 §2.1), as DANE for SMTP has them: usage 3, the host's own."""

import hashlib
from collections.abc import Iterable

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

_DIGESTS = {1: hashlib.sha256, 2: hashlib.sha512}


def of_certificate(pem: bytes) -> tuple[str, ...]:
    """All forms that name the first certificate of a PEM file; the one to publish, "3 1 1 HEX", comes first.

    () for what is no certificate.
    """
    begin, end = pem.find(b"-----BEGIN CERTIFICATE-----"), b"-----END CERTIFICATE-----"
    stop = pem.find(end, begin)
    if begin < 0 or stop < 0:
        return ()
    try:
        certificate = load_pem_x509_certificate(pem[begin : stop + len(end)] + b"\n")
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        whole = certificate.public_bytes(Encoding.DER)
    except Exception:
        # The library has a dozen ways to dislike what stands in a certificate; ours is that there is none.
        return ()
    return tuple(
        f"3 {selector} {matching} {digest(octets).hexdigest()}"
        for selector, octets in ((1, key), (0, whole))
        for matching, digest in _DIGESTS.items()
    )


def names_another(published: Iterable[str], ours: tuple[str, ...]) -> bool:
    """Whether records of usage 3 name a certificate, and none of them names ours; others are left open."""
    read = [
        " ".join([*words[:3], "".join(words[3:])]) for each in published if (words := each.lower().split())
    ]
    digests = [each for each in read if each.startswith(("3 0 1 ", "3 0 2 ", "3 1 1 ", "3 1 2 "))]
    return bool(ours and digests) and len(digests) == len(read) and not set(digests).intersection(ours)
