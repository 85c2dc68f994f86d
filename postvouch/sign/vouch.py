"""Does the mx vouch for this letter? Its Authentication-Results field, read as evidence (RFC 8601 §4, §5).

The caller has checked that the client is one of our mx hosts. The mx removes every field that claims its id
and puts its own above its own Received field; so only the topmost field counts, and only above all Received
fields. Below one it would be somebody else's claim, from a day when the mx did not verify.
"""

from postvouch.auth import authres, header
from postvouch.values.domain import AddressError, parse_domain
from postvouch.values.message import Message

_FIELD = header.FIELD_NAME.lower().encode()


def doubt(message: Message, domain: str, vouching_id: str) -> str:
    """Why nobody vouches for From: ``domain`` (lower-case A-labels); "" where the mx does.

    It does with dmarc=pass, or with its own word that the letter is ours (``header.ORIGIN``: made on the mx,
    come from an internal host, or aligned where no DMARC record is published).
    """
    if not vouching_id:
        return "sign.vouching_id is not set"
    for field in message.fields:
        name = field.name.rstrip(b" \t").lower()
        if name == b"received":
            break
        if name == _FIELD:
            return _doubt_in(field.value, domain, vouching_id)
    return f"no Authentication-Results of {vouching_id} on top"


def _doubt_in(value: bytes, domain: str, vouching_id: str) -> str:
    try:
        parsed = authres.parse(value)
    except authres.AuthresError:
        return "the topmost Authentication-Results field is malformed"
    if parsed.authserv_id.rstrip(".").lower() != vouching_id.rstrip(".").lower() or parsed.version not in (
        None,
        1,
    ):
        return f"the topmost Authentication-Results field is not of {vouching_id}"
    if any(_says_pass_for(info, domain) for info in parsed.results if info.method == header.ORIGIN):
        return ""
    results = [info for info in parsed.results if info.method == "dmarc"]
    if len(results) != 1 or results[0].method_version != 1:
        return f"{vouching_id} gives no single dmarc result"
    if results[0].result != "pass":
        return f"{vouching_id} says dmarc={results[0].result}"
    if _says_pass_for(results[0], domain):
        return ""
    return f"{vouching_id} says dmarc=pass for another From: domain"


def _says_pass_for(info: authres.ResInfo, domain: str) -> bool:
    judged = [text for name, text in info.properties if name == "header.from"]
    try:
        return info.result == "pass" and len(judged) == 1 and parse_domain(judged[0]) == domain
    except AddressError:
        return False
