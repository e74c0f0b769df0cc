"""When the leader appended an entry: a Go time with nanoseconds and zone, in whole numbers.

Law: nothing is rounded. Go's times reach far beyond the years 1 to 9999 and are finer than a
microsecond, so Python's datetime is no home for them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from conductor.errors import InvalidArgument

ZERO_UNIX_SECONDS = -62_135_596_800
"""1 January of the year 1, UTC: Go's zero time."""

_BINARY = struct.Struct(">BqihB")
"""Version, seconds since the zero time, nanoseconds, zone in minutes, and in version 2 seconds."""
_BINARY_V1_BYTES = 15
_BINARY_V2_BYTES = 16
_NO_ZONE_MINUTES = -1

_TIMESTAMP_64_SECONDS_BITS = 34
_NANOSECONDS = 1_000_000_000
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class AppendedAt:
    """A moment. The zone only says how it was written: two zones can mean the same moment."""

    unix_seconds: int
    """Seconds since 1970, negative before."""
    nanoseconds: int = 0
    """0 to 999,999,999 in everything that Go writes. Beyond that, the number as it is stored: Go
    takes some other time out of its bits."""
    zone_offset_s: int | None = None
    """Seconds east of UTC; None is UTC itself."""

    @property
    def is_zero(self) -> bool:
        """Whether it is Go's zero time, which stands for "not known"."""
        return self.unix_seconds == ZERO_UNIX_SECONDS and self.nanoseconds == 0

    def isoformat(self) -> str:
        """RFC 3339 with as many decimals as needed, like `2025-07-11T14:41:00.002000006Z`."""
        carry, nanoseconds = divmod(self.nanoseconds, _NANOSECONDS)
        offset_s = self.zone_offset_s or 0
        days, second = divmod(self.unix_seconds + carry + offset_s, _DAY_SECONDS)
        year, month, day = _date(days)
        sign = "-" if year < 0 else ""
        fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
        return (
            f"{sign}{abs(year):04d}-{month:02d}-{day:02d}"
            f"T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}{fraction}"
            f"{_zone_text(offset_s)}"
        )

    def to_binary(self) -> bytes:
        """What Go's `MarshalBinary` gives: 15 bytes, or 16 when the zone is not in whole minutes.

        InvalidArgument for what Go could not write either.
        """
        minutes, seconds = _NO_ZONE_MINUTES, 0
        if self.zone_offset_s is not None:
            # Go divides towards zero.
            sign = -1 if self.zone_offset_s < 0 else 1
            minutes, seconds = (sign * part for part in divmod(abs(self.zone_offset_s), 60))
            if minutes == _NO_ZONE_MINUTES:
                raise InvalidArgument("Go cannot write a zone of one minute west of UTC")
        version = 2 if seconds else 1
        since_zero = self.unix_seconds - ZERO_UNIX_SECONDS
        try:
            data = _BINARY.pack(version, since_zero, self.nanoseconds, minutes, seconds & 0xFF)
        except struct.error as error:
            raise InvalidArgument(f"{self} is out of range: {error}") from error
        return data if version == 2 else data[:_BINARY_V1_BYTES]

    def to_timestamp(self) -> bytes:
        """The payload of a MessagePack timestamp: 4, 8 or 12 bytes, without the zone.

        InvalidArgument when it is out of range.
        """
        seconds, nanoseconds = self.unix_seconds, self.nanoseconds
        try:
            if not 0 <= seconds < 1 << _TIMESTAMP_64_SECONDS_BITS:
                return struct.pack(">Iq", nanoseconds, seconds)
            both = nanoseconds << _TIMESTAMP_64_SECONDS_BITS | seconds
            return struct.pack(">Q" if both >> 32 else ">I", both)
        except struct.error as error:
            raise InvalidArgument(f"{self} is out of range: {error}") from error


ZERO_TIME = AppendedAt(ZERO_UNIX_SECONDS)
"""The time of entries that no leader appended: entry 1 of a bootstrapped cluster."""


def time_from_binary(data: bytes | memoryview) -> AppendedAt | None:
    """Read what `to_binary` writes; None when it is no such thing, as Go decides it."""
    size = {1: _BINARY_V1_BYTES, 2: _BINARY_V2_BYTES}.get(data[0] if len(data) else 0)
    if len(data) != size:
        return None
    padded = bytes(data).ljust(_BINARY_V2_BYTES, b"\0")
    _version, since_zero, nanoseconds, minutes, seconds = _BINARY.unpack(padded)
    # Go writes the seconds with a sign and reads them without: this is what it reads.
    offset_s = 60 * minutes + seconds
    return AppendedAt(
        unix_seconds=since_zero + ZERO_UNIX_SECONDS,
        nanoseconds=nanoseconds,
        zone_offset_s=None if offset_s == 60 * _NO_ZONE_MINUTES else offset_s,
    )


def time_from_timestamp(data: bytes | memoryview) -> AppendedAt | None:
    """Read what `to_timestamp` writes; None unless it has 4, 8 or 12 bytes."""
    if len(data) == 4:
        return AppendedAt(int.from_bytes(data, "big"))
    if len(data) == 8:
        both = int.from_bytes(data, "big")
        nanoseconds = both >> _TIMESTAMP_64_SECONDS_BITS
        seconds = both & ((1 << _TIMESTAMP_64_SECONDS_BITS) - 1)
    elif len(data) == 12:
        nanoseconds, seconds = struct.unpack(">Iq", data)
    else:
        return None
    carry, nanoseconds = divmod(nanoseconds, _NANOSECONDS)
    return AppendedAt(seconds + carry, nanoseconds)


def _zone_text(offset_s: int) -> str:
    if offset_s == 0:
        return "Z"
    minutes = abs(offset_s) // 60
    # As in Go, seconds are dropped and nothing but seconds is no minus.
    sign = "-" if offset_s < 0 and minutes else "+"
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def _date(days: int) -> tuple[int, int, int]:
    """Year, month and day of a number of days since 1970, in the calendar extended to all years.

    Counted in years that begin in March, so that a leap day is the last day of its year.
    """
    days += 719_468  # from 1 March of the year 0
    era, day_of_era = divmod(days, 146_097)  # 400 years
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    year = 400 * era + year_of_era + (1 if month <= 2 else 0)
    return year, month, day
