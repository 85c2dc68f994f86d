"""What signatures cover, out of the table [sign]: for the signer and for those who show what it would do."""

from postvouch.config.sign import Sign
from postvouch.sign.dkim import Rules


def cover_of(settings: Sign) -> Rules:
    """The rules of ``sign.dkim`` in these settings."""
    return Rules(
        headers=settings.sign_headers,
        oversign=settings.oversign_headers,
        oversign_present=settings.oversign_present_headers,
        expire_s=int(settings.expire),
        canonicalization=settings.canonicalization,
    )
