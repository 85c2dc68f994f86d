"""Letters from octets and back, as a milter would be handed them."""

from postvouch.values.message import Field, Message


def message_of(octets: bytes) -> Message:
    """A message from its octets, strictly by CRLF; a value keeps the blank after the colon and its folds."""
    head, _, body = (b"", b"", octets[2:]) if octets.startswith(b"\r\n") else octets.partition(b"\r\n\r\n")
    fields: list[Field] = []
    for line in head.removesuffix(b"\r\n").split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] = Field(fields[-1].name, fields[-1].value + b"\r\n" + line)
        elif line:
            name, _, value = line.partition(b":")
            fields.append(Field(name, value))
    return Message(fields=tuple(fields), body=(body,) if body else ())


def octets_of(message: Message) -> bytes:
    """The letter as it would be sent, lines ending in CRLF."""
    head = b"".join(field.name + b":" + field.value + b"\r\n" for field in message.fields)
    return head + b"\r\n" + b"".join(message.body)


def crlf(text: str) -> bytes:
    """Text of a YAML file as octets with CRLF lines."""
    return text.encode().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
