"""The rules of the log, applied in one pass from the first entry to the last.

Invariant: what is remembered between two entries does not grow with the log: the entry before, the
newest configuration and the one before it, the highest payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from raft_state.node import StoredEntry
from raft_state.raft import (
    DecodedEntry,
    EncodingDamaged,
    EntryType,
    LogEntry,
    configuration_of,
)
from raft_state.verify.configurations import (
    review_latest,
    review_newest_step,
    review_replaced,
    review_step,
)
from raft_state.verify.finding import Findings, KnownConfiguration, SnapshotPoint
from raft_state.verify.payloads import review_command
from raft_state.verify.rules import Rule

_TYPES = {int(kind) for kind in EntryType}

Seen = tuple[Rule, str]
"""A rule that is broken, and what was seen."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the log has to fit to."""

    server_id: str
    place: str
    """How findings name the database file."""
    current_term: int | None = None
    """None when none is stored."""
    is_term_known: bool = True
    """Whether the stable store could be read: else the current term is not known."""
    snapshot: SnapshotPoint | None = None
    """The one that Raft would restore."""
    snapshot_configuration: KnownConfiguration | None = None


def keys_are_indexes(stored: StoredEntry) -> Iterator[Seen]:
    """Every key is an index, from 1."""
    if stored.index is None:
        yield Rule.LOG_KEY, f"the key {stored.key[:32].hex()} has {len(stored.key)} bytes"
    elif stored.index == 0:
        yield Rule.LOG_INDEX_ZERO, "an entry is stored at index 0"


def values_decode(stored: StoredEntry) -> Iterator[Seen]:
    """Every value is a log entry, in a form that some release of Raft writes."""
    if stored.decoded is None:
        yield Rule.LOG_UNDECODABLE, f"{_named(stored)} cannot be decoded ({stored.damage})"
        return
    for remark in stored.decoded.remarks:
        yield Rule.LOG_FORM, f"{_named(stored)} is odd ({remark})"


def entries_know_their_place(stored: StoredEntry) -> Iterator[Seen]:
    """An entry names the index at which it is stored."""
    if stored.decoded is None or stored.index is None:
        return
    if stored.decoded.entry.index != stored.index:
        said = stored.decoded.entry.index
        yield Rule.LOG_INDEX, f"{_named(stored)} says that it is entry {said}"


def terms_are_positive(stored: StoredEntry) -> Iterator[Seen]:
    """Every entry was written by a leader."""
    if stored.decoded is not None and stored.decoded.entry.term == 0:
        yield Rule.LOG_TERM_ZERO, f"{_named(stored)} has term 0"


def types_are_known(stored: StoredEntry) -> Iterator[Seen]:
    """Raft can tell what every entry is for."""
    if stored.decoded is not None and stored.decoded.entry.type not in _TYPES:
        yield Rule.LOG_TYPE, f"{_named(stored)} has type {stored.decoded.entry.type}"


ENTRY_RULES: tuple[Callable[[StoredEntry], Iterator[Seen]], ...] = (
    keys_are_indexes,
    values_decode,
    entries_know_their_place,
    terms_are_positive,
    types_are_known,
)
"""What every entry has to obey by itself."""


class LogReview:
    """Sees each entry once, in order, and says at the end what the log as a whole is."""

    def __init__(self, surroundings: Surroundings, findings: Findings) -> None:
        self._surroundings = surroundings
        self._findings = findings
        self._covered = 0 if surroundings.snapshot is None else surroundings.snapshot.index
        self._first_index: int | None = None
        self._before: tuple[int, int | None] | None = None
        self._previous: KnownConfiguration | None = None
        self._latest: KnownConfiguration | None = None
        self._height: int | None = None
        self._is_past_snapshot = False

    @property
    def height(self) -> int | None:
        """Height of the highest payload, the snapshot's counted; None when there is none."""
        return self._height

    @property
    def first_index(self) -> int | None:
        """Index of the first entry."""
        return self._first_index

    @property
    def last_index(self) -> int | None:
        """Index of the last entry seen."""
        return None if self._before is None else self._before[0]

    @property
    def last_term(self) -> int | None:
        """Term of the last entry that could be decoded."""
        return None if self._before is None else self._before[1]

    @property
    def configuration(self) -> KnownConfiguration | None:
        """The configuration that Raft would go by; whole after `finish`."""
        return self._latest

    def see(self, stored: StoredEntry) -> None:
        """Take in the next entry."""
        for rule in ENTRY_RULES:
            for broken, detail in rule(stored):
                self._add(broken, detail, stored.index)
        if stored.index is None or stored.index == 0:
            return
        self._see_start(stored.index)
        self._see_order(stored.index, stored.decoded)
        if stored.index > self._covered and not self._is_past_snapshot:
            self._pass_snapshot()
        if stored.decoded is not None:
            self._see_content(stored.index, stored.decoded.entry)

    def finish(self) -> None:
        """Judge what only the whole log shows."""
        if not self._is_past_snapshot:
            self._pass_snapshot()
        self._review_end()
        if self._latest is None:
            if self._before is not None:
                self._add(Rule.CONFIGURATION_MISSING, "no configuration is in log or snapshots")
            return
        review_latest(self._latest, self._surroundings.server_id, self._findings)
        if self._previous is not None:
            review_newest_step(self._previous, self._latest, self._findings)

    def _add(self, rule: Rule, detail: str, index: int | None = None) -> None:
        self._findings.add(rule, detail, place=self._surroundings.place, index=index)

    def _see_start(self, index: int) -> None:
        """The log begins no later than right after the snapshot, or at 1."""
        if self._first_index is not None:
            return
        self._first_index = index
        if index <= self._covered + 1:
            return
        snapshot = self._surroundings.snapshot
        reach = (
            "there is no snapshot" if snapshot is None else f"the snapshot ends at {snapshot.index}"
        )
        self._add(Rule.LOG_START, f"the log starts at index {index} and {reach}", index)

    def _see_order(self, index: int, decoded: DecodedEntry | None) -> None:
        """Indexes have no gaps, and terms never fall."""
        term = None if decoded is None else decoded.entry.term
        if self._before is not None:
            before_index, before_term = self._before
            if index != before_index + 1:
                self._see_gap(before_index + 1, index - 1)
            if term is not None and before_term is not None and term < before_term:
                self._add(
                    Rule.LOG_TERM_FALLS,
                    f"term {before_term} before index {index} is followed by term {term}",
                    index,
                )
            # An entry that cannot be read says nothing: the one before it still holds.
            term = before_term if term is None else term
        self._before = index, term

    def _see_gap(self, first: int, last: int) -> None:
        missing = f"index {first} is" if first == last else f"indexes {first} to {last} are"
        rule = Rule.LOG_GAP_COVERED if last <= self._covered else Rule.LOG_GAP
        self._add(rule, f"{missing} missing", first)

    def _pass_snapshot(self) -> None:
        """From here on entries come after the snapshot, and what it holds is what came before."""
        self._is_past_snapshot = True
        surroundings = self._surroundings
        if surroundings.snapshot_configuration is not None:
            self._previous, self._latest = None, surroundings.snapshot_configuration
        if surroundings.snapshot is not None and surroundings.snapshot.height is not None:
            self._height = max(self._height or 0, surroundings.snapshot.height)

    def _see_content(self, index: int, entry: LogEntry) -> None:
        snapshot = self._surroundings.snapshot
        if snapshot is not None and index == snapshot.index and entry.term != snapshot.term:
            self._add(
                Rule.SNAPSHOT_TERM,
                f"the entry at index {index} has term {entry.term}, the snapshot that ends there "
                f"says term {snapshot.term}",
                index,
            )
        if entry.type == EntryType.COMMAND:
            seen, self._height = review_command(index, entry.data, self._height)
            for rule, detail in seen:
                self._add(rule, detail, index)
        else:
            self._see_configuration(index, entry)

    def _see_configuration(self, index: int, entry: LogEntry) -> None:
        try:
            configuration = configuration_of(entry)
        except EncodingDamaged as error:
            detail = f"the members in the entry at index {index} cannot be read ({error})"
            self._add(Rule.CONFIGURATION_UNDECODABLE, detail, index)
            return
        if configuration is None:
            return
        place = self._surroundings.place
        known = KnownConfiguration(index, entry.term, place, configuration)
        if self._latest is not None:
            review_replaced(self._latest, self._findings)
            review_step(self._latest, known, self._findings)
        self._previous, self._latest = self._latest, known

    def _review_end(self) -> None:
        """The current term covers the log, and the log reaches the snapshot or is told of."""
        surroundings = self._surroundings
        last = self._before
        current = surroundings.current_term
        last_term = self.last_term or 0
        if last is not None and surroundings.is_term_known and last_term > (current or 0):
            self._add(
                Rule.LOG_TERM_BEYOND_CURRENT,
                f"the last entry has term {last_term}, the stored current term is "
                f"{'missing' if current is None else current}",
                last[0],
            )
        if self._covered and (last is None or last[0] < self._covered):
            reach = "the log is empty" if last is None else f"the log ends at {last[0]}"
            self._add(
                Rule.SNAPSHOT_BEYOND_LOG, f"the snapshot ends at index {self._covered}, {reach}"
            )


def _named(stored: StoredEntry) -> str:
    return f"the entry at index {stored.index}" if stored.index is not None else "an entry"
