"""What to tell the operator of a new cluster: what Raft makes of it, and what to do next.

Reason to exist: the two mistakes that cost a night. The recorded vote does not choose the leader,
and a conductor that is pointed at the wrong level of directories starts with an empty state.
"""

from __future__ import annotations

from pathlib import Path

from raft_state.generate.plan import ClusterPlan, LeaderMode


def effect_of(plan: ClusterPlan) -> str:
    """Which node Raft lets lead first."""
    leader, voters = plan.initial_leader, len(plan.configuration.voters)
    if voters == 1:
        return f"{leader} is the only voter and always leads."
    if plan.leader_mode is LeaderMode.ENFORCED:
        return (
            f"{leader} wins the first election every time: in the logs of the others it is the "
            f"only voter, until it has brought them the whole configuration. Until {leader} "
            "starts, there is no leader; if it never does, generate again."
        )
    return (
        f"The vote for {leader} is recorded and has no effect: the first election is for term "
        f"{plan.initial_term + 1}, in which every node votes anew, and the first whose timer runs "
        f"out wins. {leader} leads first with a chance of 1 in {voters}. To be certain, use "
        "--leader-mode enforced, or call conductor_transferLeaderToServer once the cluster runs."
    )


def next_steps(plan: ClusterPlan, output_dir: Path) -> tuple[str, ...]:
    """What to do with the directories, in order."""
    leader = plan.initial_leader
    enforced = plan.leader_mode is LeaderMode.ENFORCED
    who = f"a majority of the voters{', and ' + leader + ' among them,' if enforced else ''}"
    return (
        f"Check what was written: op-conductor-init verify --state-dir {output_dir}",
        (
            f"Bring each node its own directory, {output_dir}/<server id>. On the node it must be "
            "<storage dir>/<server id>, and writable for the conductor."
        ),
        (
            f"Give every conductor --raft.storage.dir=<storage dir>: {output_dir}, or what it is "
            "mounted as, and NOT the node's own directory in it. op-conductor looks in "
            "<raft.storage.dir>/<raft.server.id>; where it finds nothing there, it starts with an "
            "empty state and does not say so."
        ),
        (
            f"Give every conductor its --raft.server.id (such as {leader}), "
            "--raft.bootstrap=false, and the advertised consensus address that is listed above."
        ),
        f"Start all conductors: {who} must be up before there is a leader.",
    )
