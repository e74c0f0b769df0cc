"""The one error of the encodings: bytes that the Go libraries would not read either.

Law: `EncodingDamaged` is all that a decoder here raises, whatever bytes it is given. What Go reads
but would not have written is no error but a remark beside the result.
"""

from __future__ import annotations

from conductor.errors import StoreDamaged


class EncodingDamaged(StoreDamaged):
    """A stored value cannot be decoded.

    `offset` is the byte of the value at which it went wrong, `reason` says what is wrong there.
    """

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"at byte {offset}: {reason}")
        self.offset = offset
        self.reason = reason
