"""Text from models inside attributes: any bytes as printable ASCII, and back without loss.

xDSL parses a string with a byte outside ASCII back as another attribute class, so names and strings of models are
percent-encoded, as in URLs: `é` is `%C3%A9`, `%` itself is `%25`.
"""

import re

_UNPRINTABLE = re.compile(rb"[^ -~]|%")
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")


def escape(text: str | bytes) -> str:
    """`text` (str as UTF-8) as printable ASCII."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return _UNPRINTABLE.sub(lambda match: b"%%%02X" % match[0][0], raw).decode("ascii")


def unescape_bytes(text: str) -> bytes:
    """The bytes that `escape` was given."""
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), text.encode())


def unescape(text: str) -> str:
    """The string that `escape` was given; bytes that are not UTF-8 come back as surrogates."""
    return unescape_bytes(text).decode("utf-8", "surrogateescape")
