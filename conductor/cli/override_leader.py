"""`op-conductor override-leader`: have servers say that they lead, or tell the truth again."""

from __future__ import annotations

import click

from conductor.cli.client_options import STEERING_OPTIONS, ServerLists, named_servers

_EXAMPLES = """\b
Examples:
  No quorum is left, and op-batcher and op-proposer shall find this machine. Its op-node builds no
  blocks by it, since commits still need a quorum: for that see "Form a cluster anew" in
  docs/operations.md.
    op-conductor override-leader on
  Back to what the cluster says:
    op-conductor override-leader off
"""

SETTING = click.Argument(["setting"], type=click.Choice(("on", "off"), case_sensitive=False))


@click.command(params=[SETTING, *STEERING_OPTIONS], epilog=_EXAMPLES)
def override_leader(
    setting: str, server: ServerLists, output: str, timeout_ms: int, yes: bool
) -> int:
    """Have the named servers say that they lead (`on`), or the truth again (`off`).

    It changes answers to op-node, op-batcher and the like, and nothing else: no payload is
    committed without a certificate, so a server that does not lead gets no block certified by it.
    It lasts until `off`, or until the server is started again.

    Exits with 0 when it is so on all named servers, 3 when on some, 5 when you said no, 6 when none
    answers.
    """
    # Imported here so that `--help` does not wait for gRPC.
    from conductor.cli import client
    from conductor.cli.steering import Action, steer

    wanted = setting == "on"
    question = (
        "Have {} say that it leads, whatever the cluster says? Its commits still need the cluster."
        if wanted
        else "Have {} tell the truth about the leadership again?"
    )
    action = Action(
        question=question.format,
        call=client.override_leader(wanted),
        is_so=lambda status: status.leader_overridden == wanted,
    )
    servers = named_servers(server)
    return steer(action, servers, timeout_ms=timeout_ms, output=output, yes=yes)
