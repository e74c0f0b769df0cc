"""`verify`, the rules as a whole: each has a test that breaks it, and a name of its own."""

from __future__ import annotations

from raft_state.verify import Rule, Severity
from tests.raft_state import (
    test_verify_cluster,
    test_verify_files,
    test_verify_log,
    test_verify_snapshots,
    test_verify_stable,
)

BROKEN = {
    *(rule for flaw in test_verify_log.FLAWS.values() for rule in flaw.rules),
    *(rule for _, rules in test_verify_stable.FLAWS.values() for rule in rules),
    *(rule for _, rules, _ in test_verify_files.FLAWS.values() for rule in rules),
    *(rule for _, rules in test_verify_snapshots.FLAWS.values() for rule in rules),
    *(rule for _, rules in test_verify_cluster.FLAWS.values() for rule in rules),
    Rule.FILE_LOCKED,
}
"""Every rule that some test breaks."""


def test_every_rule_is_broken_by_a_test() -> None:
    assert {rule.code for rule in Rule} - {rule.code for rule in BROKEN} == set()


def test_errors_say_what_to_do() -> None:
    deeds = ("restore", "stop the", "make the", "let ", "look at", "compare", "find out")

    for rule in Rule:
        if rule.severity is Severity.ERROR:
            assert any(deed in rule.meaning.lower() for deed in deeds), rule.code


def test_meanings_read_on_from_what_was_seen() -> None:
    for rule in Rule:
        assert rule.meaning
        assert not rule.meaning.endswith("."), rule.code
        assert rule.meaning.isprintable()
