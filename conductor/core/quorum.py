"""How many voters make a quorum, and whether any two quorums share one.

Invariant: with `majority`, or any threshold above half the voters, two quorums always share a
voter: that voter is what carries a certified entry into the next leadership.
"""

from __future__ import annotations

from conductor.errors import ConfigError

MAJORITY = 0
"""The quorum rule that follows the number of voters; any other rule is a fixed number."""


def quorum_size(rule: int, voters_count: int) -> int:
    """The number of distinct voters that a quorum needs, the leader counted.

    `rule` is MAJORITY or a number from 1 to `voters_count`; anything else is a ConfigError.
    """
    if rule == MAJORITY:
        return voters_count // 2 + 1
    if not 1 <= rule <= voters_count:
        raise ConfigError(
            f"a quorum threshold of {rule} does not fit {voters_count} voters: "
            f"choose 1 to {voters_count}, or leave it out for a majority"
        )
    return rule


def is_split_brain_safe(size: int, voters_count: int) -> bool:
    """Whether two quorums of `size` among `voters_count` voters always share a voter."""
    return 2 * size > voters_count
