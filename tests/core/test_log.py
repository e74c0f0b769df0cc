"""The window of the log: what is taken over, cut, pruned, sent, and found in it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.core.log import Log, Merge
from conductor.core.values import Base, Entry, EntryKind, Index
from conductor.errors import InvariantViolation
from tests.core.builders import (
    a_base,
    a_block,
    a_certificate,
    a_chain,
    a_genesis,
    a_log,
    a_payload,
    an_epoch_start,
    beginning,
    elsewhere,
)


def indexes(entries: Sequence[Entry]) -> list[int]:
    return [entry.index for entry in entries]


def pruned_log(entries: Sequence[Entry], base_index: int, certified: int) -> Log:
    """A log that holds only what comes after `base_index`."""
    log = a_log(entries, certified)
    position = log.position_at(Index(base_index))
    assert position is not None
    log.prune(Base(position, a_genesis().membership))
    return log


# Positions


def test_an_empty_log_ends_at_its_base() -> None:
    log = Log(a_base())

    assert log.last == log.certified == beginning()
    assert log.matches(beginning())
    assert log.position_at(Index(1)) is None
    assert log.last_payload is None
    assert log.certified_payload is None


def test_positions_outside_the_window_are_unknown() -> None:
    entries = a_chain([1] * 5)
    log = pruned_log(entries, 2, certified=4)

    assert [log.position_at(Index(i)) is not None for i in range(7)] == [
        False,
        False,
        True,
        True,
        True,
        True,
        False,
    ]
    assert log.entry(Index(2)) is None
    assert log.matches(entries[1].position)
    assert not log.matches(entries[0].position)


def test_another_digest_at_an_index_does_not_match() -> None:
    log = a_log(a_chain([1, 1]))

    assert not log.matches(elsewhere(2))
    assert not log.matches(elsewhere(3))


# Appending


def test_an_entry_that_leaves_a_gap_is_not_appended() -> None:
    log = a_log(a_chain([1]))

    with pytest.raises(InvariantViolation, match="does not follow"):
        log.append(a_payload(elsewhere(2)))


def test_an_entry_of_another_chain_is_not_appended() -> None:
    """Rule 5.2: equal digests mean equal logs."""
    log = a_log(a_chain([1]))

    with pytest.raises(InvariantViolation, match="breaks the chain"):
        log.append(a_payload(elsewhere(1)))


def test_epochs_never_fall_along_a_log() -> None:
    """Rule 5.2."""
    log = a_log(a_chain([2]))

    with pytest.raises(InvariantViolation, match="epochs fall"):
        log.append(a_payload(log.last, epoch=1))


# Merging: rule 5.4.2, "only an entry whose digest differs truncates"


def test_new_entries_are_added_at_the_end() -> None:
    entries = a_chain([1, 1, 1])
    log = a_log(entries[:1])

    assert log.merge(entries[1:]) == Merge(None, entries[1:])
    assert log.last == entries[2].position


@pytest.mark.parametrize("part", [slice(0, 0), slice(0, 2), slice(1, 2), slice(0, 3)])
def test_a_shorter_older_or_repeated_message_removes_nothing(part: slice) -> None:
    """Trap T10: an old Append overtaken by newer ones must not cut what was acknowledged."""
    entries = a_chain([1, 1, 1])
    log = a_log(entries)

    assert log.merge(entries[part]) == Merge(None, ())
    assert log.last == entries[2].position


def test_entries_beyond_the_end_are_added_behind_those_that_match() -> None:
    entries = a_chain([1, 1, 1, 2])
    log = a_log(entries[:2])

    assert log.merge(entries) == Merge(None, entries[2:])


def test_the_first_entry_that_differs_cuts_from_there_on() -> None:
    ours = a_chain([1, 1, 1, 1])
    theirs = (*ours[:2], *a_chain([2], ours[1].position, branch="theirs"))
    log = a_log(ours, certified=2)

    assert log.merge(theirs) == Merge(Index(2), theirs[2:])
    assert log.last == theirs[2].position


def test_a_certified_entry_is_never_cut() -> None:
    """Rule 5.4.5: the node stops instead, with its disk as it is."""
    ours = a_chain([1, 1, 1])
    log = a_log(ours, certified=2)

    with pytest.raises(InvariantViolation, match="certified entry 2"):
        log.merge(a_chain([2], ours[0].position, branch="theirs"))
    with pytest.raises(InvariantViolation, match="certified entry 2"):
        log.truncate(Index(1))
    assert log.last == ours[2].position


def test_the_uncertified_tail_can_be_cut_down_to_the_certified_position() -> None:
    ours = a_chain([1, 1, 1])
    log = a_log(ours, certified=2)

    log.truncate(Index(2))

    assert log.last == log.certified


def test_blocks_that_were_cut_are_not_found_any_more() -> None:
    log = a_log(a_chain([1, 1]))

    log.truncate(Index(1))

    assert log.payloads_of_block(a_block(2).block_hash) == ()
    assert len(log.payloads_of_block(a_block(1).block_hash)) == 1


@given(st.integers(0, 5), st.lists(st.integers(1, 3), max_size=6).map(sorted), st.integers(0, 6))
def test_after_a_merge_the_log_holds_what_was_merged_and_lost_nothing_that_matched(
    common: int, epochs: list[int], kept: int
) -> None:
    shared = a_chain([1] * common)
    start = shared[-1].position if shared else beginning()
    ours = (*shared, *a_chain([1] * kept, start, branch="ours"))
    theirs = (*shared, *a_chain(epochs, start, branch="theirs"))
    log = a_log(ours)

    log.merge(theirs)

    expected = theirs if epochs else ours
    assert indexes(log.entries) == indexes(expected)
    assert log.last == (expected[-1].position if expected else beginning())


# Certifying


def test_the_certified_index_rises_and_never_falls() -> None:
    entries = a_chain([1, 1, 1])
    log = a_log(entries, certified=2)

    log.raise_certified(a_certificate(entries[2]))

    assert log.certified == entries[2].position
    with pytest.raises(InvariantViolation, match="never falls"):
        log.raise_certified(a_certificate(entries[1]))


def test_a_certificate_for_another_entry_is_not_taken() -> None:
    log = a_log(a_chain([1, 1]))

    with pytest.raises(InvariantViolation, match="another entry"):
        log.raise_certified(a_certificate(a_chain([1, 1], branch="theirs")[1]))


def test_a_restored_log_knows_its_certificate() -> None:
    entries = a_chain([1, 1])
    log = a_log(entries, certified=1)

    assert log.certified == entries[0].position
    assert log.certificate == a_certificate(entries[0])


def test_a_certificate_at_the_base_is_kept_though_its_entry_is_pruned() -> None:
    """The disk may know of a pruning and not yet of the newest certificate."""
    entries = a_chain([1, 1, 1])
    base = a_base(entries[1].position)

    log = Log.restored(base, entries[2:], a_certificate(entries[0]))

    assert log.certified == entries[1].position
    assert log.certificate == a_certificate(entries[0])


# Batches


def test_a_batch_stops_before_it_grows_too_large() -> None:
    log = a_log(a_chain([1] * 4, size=100))

    assert indexes(log.after(Index(0), bytes_max=250, aligned_to=64)) == [1, 2]
    assert indexes(log.after(Index(1), bytes_max=200, aligned_to=64)) == [2, 3]


def test_a_batch_holds_at_least_one_entry() -> None:
    """However large: what does not fit a batch would never be sent."""
    log = a_log(a_chain([1] * 2, size=100))

    assert indexes(log.after(Index(0), bytes_max=1, aligned_to=64)) == [1]
    assert indexes(log.after(Index(0), bytes_max=-1, aligned_to=64)) == [1]


def test_batches_end_alike_wherever_they_begin() -> None:
    """Rule 5.4.1: acknowledgements of members that catch up meet on one position."""
    log = a_log(a_chain([1] * 10))

    ends = [log.after(Index(i), bytes_max=10**6, aligned_to=4)[-1].index for i in range(10)]

    assert ends == [4, 4, 4, 4, 8, 8, 8, 8, 10, 10]


def test_nothing_comes_after_the_end() -> None:
    assert a_log(a_chain([1])).after(Index(1), bytes_max=100, aligned_to=64) == ()


# Pruning: rule 5.7


def prunable(log: Log, payloads: int = 10**6, size: int = 10**9) -> int | None:
    base = log.prunable(retain_payloads=payloads, retain_bytes=size)
    return base.position.index if base else None


@pytest.mark.parametrize(("retained", "base"), [(1, 9), (2, 8), (9, 1), (10, None), (11, None)])
def test_the_last_certified_payloads_are_retained(retained: int, base: int | None) -> None:
    log = a_log(a_chain([1] * 10), certified=10)

    assert prunable(log, payloads=retained) == base


def test_uncertified_payloads_are_retained_beside_the_certified_ones() -> None:
    """Rule 5.7: pruned is only what is below the certified index."""
    log = a_log(a_chain([1] * 10), certified=6)

    assert prunable(log, payloads=1) == 5
    assert prunable(log, payloads=3) == 3


@pytest.mark.parametrize(
    ("size", "base"), [(300, 7), (299, 8), (301, 7), (1, 9), (1000, None), (999, 1)]
)
def test_at_most_so_many_bytes_are_retained(size: int, base: int | None) -> None:
    log = a_log(a_chain([1] * 10, size=100), certified=10)

    assert prunable(log, size=size) == base


def test_the_last_certified_payload_stays_however_large_it_is() -> None:
    """Trap T15: and so does everything after it."""
    payloads = a_chain([1, 1], size=100)
    starts = [an_epoch_start(payloads[1].position, 2)]
    starts.append(an_epoch_start(starts[0].position, 3))
    log = a_log((*payloads, *starts), certified=4)

    assert prunable(log, payloads=1, size=1) == 1


def test_nothing_is_pruned_before_a_payload_is_certified() -> None:
    starts = [an_epoch_start(beginning(), 1)]
    starts.append(an_epoch_start(starts[0].position, 2))
    log = a_log((*starts, a_payload(starts[1].position, 2)), certified=2)

    assert prunable(log, payloads=1, size=1) is None


def test_control_entries_do_not_count_as_payloads() -> None:
    first = a_chain([1, 1])
    start = an_epoch_start(first[1].position, 2)
    log = a_log((*first, start, *a_chain([2], start.position)), certified=4)

    assert prunable(log, payloads=2) == 1


@given(
    count=st.integers(1, 12),
    certified=st.integers(1, 12),
    payloads=st.integers(1, 12),
    size=st.integers(1, 1300),
)
def test_pruning_once_is_enough_and_keeps_the_last_certified_payload(
    count: int, certified: int, payloads: int, size: int
) -> None:
    log = a_log(a_chain([1] * count), certified=min(certified, count))
    base = log.prunable(retain_payloads=payloads, retain_bytes=size)
    if base is not None:
        log.prune(base)

    assert log.prunable(retain_payloads=payloads, retain_bytes=size) is None
    assert log.certified_payload is not None
    assert log.certified_payload.index == min(certified, count)


def test_what_is_pruned_is_forgotten_and_the_rest_stays() -> None:
    entries = a_chain([1] * 5)
    log = pruned_log(entries, 3, certified=4)

    assert indexes(log.entries) == [4, 5]
    assert log.last == entries[4].position
    assert log.payloads_of_block(a_block(3).block_hash) == ()
    assert indexes(log.payloads_of_block(a_block(4).block_hash)) == [4]


def test_an_uncertified_entry_is_never_pruned() -> None:
    """Trap T15."""
    log = a_log(a_chain([1] * 3), certified=1)

    with pytest.raises(InvariantViolation, match="never pruned"):
        log.prune(a_base(log.last))


def test_a_base_that_is_not_in_the_log_prunes_nothing() -> None:
    log = a_log(a_chain([1] * 3), certified=3)

    with pytest.raises(InvariantViolation, match="not in the log"):
        log.prune(a_base(elsewhere(2)))


# The short window that brings a member forward


@pytest.mark.parametrize(("size", "base"), [(1, 6), (100, 6), (200, 5), (350, 4), (10**6, 0)])
def test_a_short_window_reaches_back_as_far_as_fits(size: int, base: int) -> None:
    entries = a_chain([1] * 9, size=100)
    log = a_log(entries, certified=7)

    found, window = log.short_window(size)

    assert found.position.index == base
    assert indexes(window) == list(range(base + 1, 8))


def test_a_short_window_holds_the_last_certified_payload_and_ends_at_the_certificate() -> None:
    payloads = a_chain([1, 1])
    start = an_epoch_start(payloads[1].position, 2)
    log = a_log((*payloads, start, *a_chain([2], start.position)), certified=3)

    base, window = log.short_window(1)

    assert base.position == payloads[0].position
    assert [entry.kind for entry in window] == [EntryKind.PAYLOAD, EntryKind.EPOCH_START]


def test_a_short_window_without_payloads_holds_the_certified_entry() -> None:
    start = an_epoch_start(beginning(), 1)
    log = a_log((start,), certified=1)

    assert log.short_window(1) == (a_base(), (start,))


def test_a_short_window_of_a_pruned_log_begins_no_earlier_than_the_log() -> None:
    log = pruned_log(a_chain([1] * 6), 3, certified=6)

    base, window = log.short_window(10**6)

    assert base.position.index == 3
    assert indexes(window) == [4, 5, 6]


# Installing a window


def test_an_installed_window_replaces_everything() -> None:
    entries = a_chain([1] * 9)
    log = a_log(a_chain([1, 1], branch="ours"))

    log.install(a_base(entries[4].position), entries[5:], a_certificate(entries[7]))

    assert log.base.position == entries[4].position
    assert log.certified == entries[7].position
    assert log.last == entries[8].position
    assert log.payloads_of_block(a_block(1, "ours").block_hash) == ()
    assert indexes(log.payloads_of_block(a_block(7).block_hash)) == [7]


@pytest.mark.parametrize("certified", [3, 4])
def test_a_window_that_ends_below_what_is_certified_is_never_installed(certified: int) -> None:
    """Rule 5.7: never at or below the certified index."""
    entries = a_chain([1] * 4)
    log = a_log(entries, certified)

    with pytest.raises(InvariantViolation, match="below certified"):
        log.install(a_base(entries[0].position), entries[1:3], a_certificate(entries[2]))
    assert log.last == entries[3].position


# The chain of blocks


def test_control_entries_are_no_payloads() -> None:
    payload = a_payload(beginning())
    log = a_log((payload, an_epoch_start(payload.position, 2)), certified=1)

    assert log.last_payload == log.certified_payload == payload


def test_the_last_payload_may_be_uncertified() -> None:
    entries = a_chain([1, 1, 1])
    log = a_log(entries, certified=2)

    assert log.last_payload == entries[2]
    assert log.certified_payload == entries[1]


def reorganised() -> Log:
    """Blocks 1, 2, 3; then 2' and 3' on block 1; then 2 again."""
    log = a_log(a_chain([1, 1, 1]))
    for block in (a_block(2, "x", ""), a_block(3, "x"), a_block(2)):
        log.append(a_payload(log.last, 1, block))
    return log


def test_ancestors_are_found_by_parent_hash_and_orphans_are_left_out() -> None:
    log = reorganised()
    newest = log.entry(Index(5))
    assert newest is not None

    assert indexes(list(log.ancestry(newest))) == [5, 4, 1]


def test_a_block_that_came_twice_is_found_at_both_places() -> None:
    log = reorganised()

    assert indexes(log.payloads_of_block(a_block(2).block_hash)) == [2, 6]
    assert log.last_payload is not None
    assert indexes(list(log.ancestry(log.last_payload))) == [6, 1]


def test_an_ancestry_ends_where_the_window_begins() -> None:
    log = pruned_log(a_chain([1] * 5), 3, certified=5)
    assert log.last_payload is not None

    assert indexes(list(log.ancestry(log.last_payload))) == [5, 4]


def test_an_ancestry_never_goes_up_the_log() -> None:
    """A parent that was logged after its child is no ancestor: there can be no circle."""
    log = Log(a_base())
    log.append(a_payload(log.last, 1, a_block(2)))
    log.append(a_payload(log.last, 1, a_block(1)))

    child = log.entry(Index(1))
    assert child is not None
    assert indexes(list(log.ancestry(child))) == [1]
