"""`op-conductor pause` and `resume`: have servers step aside, or take part again."""

from __future__ import annotations

import click

from conductor.cli.client_options import STEERING_OPTIONS, ServerLists, named_servers

_PAUSE_EXAMPLES = """\b
Examples:
  Before work on this machine:
    op-conductor pause
  In a script, elsewhere:
    op-conductor pause --yes --server seq-1:18080 -o json
"""

_RESUME_EXAMPLES = """\b
Examples:
  op-conductor resume
  op-conductor resume --yes --server seq-1:18080,seq-2:18080
"""


@click.command(params=list(STEERING_OPTIONS), epilog=_PAUSE_EXAMPLES)
def pause(server: ServerLists, output: str, timeout_ms: int, yes: bool) -> int:
    """Have the named servers step aside until `resume`, or until they are started again.

    A paused server stores and acknowledges payloads as before. It gives the leadership away if
    another voter can take it, and takes none unless nobody else can.

    Exits with 0 when all named servers are paused, 3 when some are, 5 when you said no, 6 when
    none answers.
    """
    # Imported here so that `--help` does not wait for gRPC.
    from conductor.cli.client import PAUSE
    from conductor.cli.steering import Action, steer

    action = Action(
        question=lambda names: f"Pause {names}? A leader gives the leadership away.",
        call=PAUSE,
        is_so=lambda status: status.paused,
        gives_leadership_away=True,
    )
    servers = named_servers(server)
    return steer(action, servers, timeout_ms=timeout_ms, output=output, yes=yes)


@click.command(params=list(STEERING_OPTIONS), epilog=_RESUME_EXAMPLES)
def resume(server: ServerLists, output: str, timeout_ms: int, yes: bool) -> int:
    """Have the named servers take part again.

    It may lead to a change of leader: with `--leader-order ordered` an earlier server takes the
    leadership back once it has been well for a minute.

    Exits with 0 when no named server is paused any more, 3 when some are not, 5 when you said no,
    6 when none answers.
    """
    # Imported here so that `--help` does not wait for gRPC.
    from conductor.cli.client import RESUME
    from conductor.cli.steering import Action, steer

    action = Action(
        question=lambda names: f"Resume {names}?",
        call=RESUME,
        is_so=lambda status: not status.paused,
    )
    servers = named_servers(server)
    return steer(action, servers, timeout_ms=timeout_ms, output=output, yes=yes)
