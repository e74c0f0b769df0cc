"""What to tell whoever recovers a cluster: what may be lost by it, and what to do afterwards.

Reason to exist: a recovery is right on this machine and wrong on the others until they are made to
agree with it. Two halves that both believe to be the cluster are worse than none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from raft_state.raft import Configuration
from raft_state.recover.choice import divergence_warnings
from raft_state.recover.divergence import Divergence
from raft_state.recover.survivor import Survivor


def warnings(
    source: Survivor,
    configuration: Configuration,
    survivors: Sequence[Survivor],
    divergences: Sequence[Divergence],
) -> Iterator[str]:
    """What may be lost, or is odd, a sentence each."""
    yield from (f"{source.server_id}: {remark}" for remark in source.remarks)
    yield from divergence_warnings(source, divergences)
    for each in survivors:
        if each is not source and each.problems:
            yield f"{each.server_id} cannot be compared whole: {'; '.join(each.problems)}"
    yield from _missing_voters(source, survivors)
    voters = len(configuration.voters)
    if voters == 1:
        yield "there will be one voter: when it fails, nothing takes over"
    elif voters % 2 == 0:
        yield (
            f"{voters} voters need {configuration.quorum} of them to agree, so they survive no "
            f"more failures than {voters - 1} do"
        )


def next_steps(
    state_dir: Path,
    configuration: Configuration,
    recovered: Sequence[Path],
    absent: Sequence[str],
    former: Sequence[str],
) -> Iterator[str]:
    """What to do, in order.

    `recovered`: the directories with the new state. `absent`: members without one. `former`: who
    was a member, or has a directory here, and is no member any more.
    """
    yield f"Check what was written: op-conductor-init verify --state-dir {state_dir}"
    if len(recovered) > 1:
        yield (
            "If these are copies, replace the directories on the members' own machines by them, "
            "each as a whole."
        )
    for server_id in absent:
        yield (
            f"On the machine of {server_id}, before anything starts there: empty or remove "
            f"<raft.storage.dir>/{server_id}, so that it starts with nothing and the leader brings "
            f"it everything; or put a copy of {recovered[0]} there under that name, whole. Never "
            "run this recovery on it by itself, and never start it on what it has now."
        )
    for server_id in former:
        yield (
            f"Never start {server_id} on the state that it has: it is no member any more, and "
            "still takes itself for one of the old cluster. Remove its directory."
        )
    addresses = ", ".join(f"{each.server_id} at {each.address}" for each in configuration.servers)
    yield (
        "Give each conductor the consensus address that the others now know it by, and "
        f"--raft.bootstrap=false: {addresses}."
    )
    yield (
        f"Start them: {configuration.quorum} of {len(configuration.voters)} voters must be up "
        "before there is a leader. Those with the recovered state first."
    )


def _missing_voters(source: Survivor, survivors: Sequence[Survivor]) -> Iterator[str]:
    """Voters of the old cluster whose state is not here: only they may know what is committed."""
    if source.configuration is None:
        return
    here = {each.server_id for each in survivors}
    voters = [server.server_id for server in source.configuration.voters]
    missing = [server_id for server_id in voters if server_id not in here]
    if len(missing) >= source.configuration.quorum:
        yield (
            f"{len(missing)} of {len(voters)} voters are not here ({', '.join(missing)}): what "
            "only they acknowledged is lost, although it may have been committed. If one of their "
            "disks can still be read, put its directory beside the others first"
        )
