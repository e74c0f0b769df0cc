"""Malformed JSON: documents whose parts are replaced, lost, doubled, or written in odd ways."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from tests.malformed.byte_mutation import CHANGES_MAX, noise, spoiled_bytes

DEPTHS = (2, 64, 1200)

_TOKENS = (
    *("null", "true", "false", "0", "-0", "1", "-1", "1.0", "1e2", "1E+2", "1e400", "-1e-400"),
    *("18446744073709551615", "18446744073709551616", "-9223372036854775809", "9" * 40, "9" * 5000),
    *("1." + "0" * 400 + "1", "00", "01", "+1", ".5", "1.", "0x10", "1_000", "NaN", "-Infinity"),
    *('""', '"0"', '"0x"', '"0x0"', '"0x00"', '"0x1"', '"0xg"', '"0X1"', '"0x' + "f" * 64 + '"'),
    *('"0x' + "f" * 65 + '"', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\x41"', '"\t"'),
    *('"' + "a" * 3000 + '"', '"' + "\\u00e9" * 300 + '"', '"☃"', '"\u202e0x1"'),
    *("[]", "{}", "[[]]", '{"":0}', '{"a":1,"a":2}', "[1,]", "[,1]", '{"a":}', '{"a" 1}', "{1:2}"),
    *("'a'", "// comment\n1", "/**/", "nul", "truee", '"open', "[", "{", "]", ""),
)
"""Values and what is none, as text."""
_PLACE = "<here>"
_NAMES = ("", "id", "method", "params", "jsonrpc", "payload", "executionPayload", "x" * 300, "\0")


def spoiled_json(chance: random.Random, document: object) -> bytes:
    """`document` as JSON with something wrong in it, most of the time."""
    way = chance.randrange(10)
    if way == 0:
        return spoiled_bytes(chance, _text(document).encode())
    if way == 1:
        return _rewritten(chance, _text(document))
    tokens: list[str] = []
    copy = json.loads(_text(document))
    for _ in range(1 + chance.randrange(CHANGES_MAX)):
        copy = _changed(chance, copy, tokens)
    text = _text(copy)
    for token in tokens:
        text = text.replace(f'"{_PLACE}"', token, 1)
    return text.encode(errors="surrogatepass")


def _text(document: object) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _changed(chance: random.Random, document: Any, tokens: list[str]) -> Any:
    """The document after one change at a random place in it."""
    places = list(_places(document))
    if not places:
        return _replacement(chance, document, tokens)
    holder, key = chance.choice(places)
    way = chance.randrange(6)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[chance.choice(_NAMES)] = holder.pop(key)
    elif way == 2 and isinstance(holder, list):
        holder.extend([holder[key]] * chance.choice((1, 2, 150)))
    elif way == 3:
        holder[key] = chance.choice((holder, document, [holder[key]], {"": holder[key]}))
        return json.loads(_text(_tree(document)))
    else:
        holder[key] = _replacement(chance, holder[key], tokens)
    return document


def _tree(document: Any, depth: int = 0) -> Any:
    """A copy that ends where the document begins to hold itself."""
    if depth > 12:
        return None
    if isinstance(document, dict):
        return {name: _tree(value, depth + 1) for name, value in document.items()}
    if isinstance(document, list):
        return [_tree(value, depth + 1) for value in document[:4]]
    return document


def _places(document: Any) -> Sequence[tuple[Any, Any]]:
    """Every holder of a value with the key of the value in it."""
    if isinstance(document, dict):
        keys: Sequence[Any] = list(document)
    elif isinstance(document, list):
        keys = range(len(document))
    else:
        return ()
    return [(document, key) for key in keys] + [
        place for key in keys for place in _places(document[key])
    ]


def _replacement(chance: random.Random, value: Any, tokens: list[str]) -> Any:
    if isinstance(value, str) and chance.random() < 0.3:
        return _spoiled_text(chance, value)
    tokens.append(_nested(chance) if chance.random() < 0.05 else chance.choice(_TOKENS))
    return _PLACE


def _spoiled_text(chance: random.Random, text: str) -> str:
    way = chance.randrange(5)
    at = chance.randrange(len(text) + 1)
    if way == 0:
        return text[:at]
    if way == 1:
        return text[:at] + chance.choice(("0", "g", " ", "\0", "\u2028", "\U0001f600")) + text[at:]
    if way == 2:
        return text.upper()
    if way == 3:
        return text * chance.choice((2, 20))
    return text[:at] + text[at + 1 :]


def _nested(chance: random.Random) -> str:
    opening, closing = chance.choice((("[", "]"), ('{"a":', "}"), ('{"params":[', "]}")))
    depth = chance.choice(DEPTHS)
    return opening * depth + "1" + closing * (depth if chance.random() < 0.7 else 0)


def _rewritten(chance: random.Random, text: str) -> bytes:
    """The same document as no client writes it."""
    data = text.encode()
    return chance.choice(
        (
            b"\xef\xbb\xbf" + data,
            text.encode("utf-16"),
            text.encode("utf-32-le"),
            data.replace(b":", b" :\t\r\n"),
            data.replace(b",", b",,"),
            data.replace(b'"', b"'"),
            data.replace(b"e", b"\\u0065"),
            data + data,
            data + b"\n" + noise(chance),
            b"[" * chance.randrange(200) + data,
            b" " * 2000 + data,
            data.replace(b'"', b"\xc0\xa2", 1),
            data.replace(b"a", b"\xed\xa0\x80", 1),
            data + b"\0",
        )
    )
