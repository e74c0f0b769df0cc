"""The program: which commands there are, and how it ends.

Invariant: every error that is not a bug becomes one `error:` on stderr and an exit code of
`conductor.exit_codes`. Commands do their work behind imports of their own, so that help is quick.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

import conductor
from conductor.errors import ConductorError
from conductor.exit_codes import ExitCode, exit_code_of
from raft_state.cli.endings import orderly_end
from raft_state.cli.environment import unknown_variables
from raft_state.cli.output import printable_text

COMMANDS = {
    "generate": "raft_state.cli.generate:generate",
    "verify": "raft_state.cli.verify:verify",
    "info": "raft_state.cli.info:info",
    "backup": "raft_state.cli.backup:backup",
    "restore": "raft_state.cli.restore:restore",
    "recover": "raft_state.cli.recover:recover",
    "export-payload": "raft_state.cli.export_payload:export_payload",
    "diff": "raft_state.cli.diff:diff",
}
"""Where each command is found; in the order of the help."""

PREFIX = "raft"
"""`op-conductor-init raft generate` is `op-conductor-init generate`: an older name of the same."""

_EXAMPLES = """\b
Examples:
  op-conductor-init generate --nodes seq-1:50050,seq-2:50050,seq-3:50050 \\
      --server-ids sequencer-1,sequencer-2,sequencer-3 --initial-leader sequencer-1
  op-conductor-init verify --state-dir ./raft-state
  op-conductor-init info --state-dir ./raft-state/sequencer-1
  op-conductor-init backup --state-dir ./raft-state --backup-dir ./backups
  op-conductor-init restore --backup-dir ./backups/raft-backup-20250707-120000 \\
      --state-dir ./raft-state
  op-conductor-init recover --state-dir ./raft-state \\
      --members sequencer-1=seq-1:50050,sequencer-2=seq-2:50050
  op-conductor-init export-payload --state-dir ./raft-state --out newest.json
  op-conductor-init diff ./raft-state/sequencer-1 ./raft-state/sequencer-2
\b
Every option is an environment variable too: OP_CONDUCTOR_INIT_STATE_DIR is --state-dir.
\b
Exit codes: 0 ok, 1 error, 2 usage, 5 refused and nothing changed, 7 files are
damaged, in use or cannot be written.
\b
Completion in bash (zsh and fish alike):
  eval "$(_OP_CONDUCTOR_INIT_COMPLETE=bash_source op-conductor-init)"
"""


class Program(click.Group):
    """The commands of COMMANDS, with or without PREFIX before them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, if there is one of that name."""
        path = COMMANDS.get(cmd_name)
        if path is None:
            return None
        module, _, attribute = path.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Drop PREFIX; show the help where there is nothing else."""
        if args and args[0] == PREFIX:
            args = args[1:]
        # While completing, nothing typed yet may still become a command.
        if not args and not ctx.resilient_parsing:
            args = ["--help"]
        return super().parse_args(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; unless told otherwise end the process with the exit code it returns."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        try:
            code = super().main(args, prog_name, complete_var, False, **extra)
        except click.Abort:
            sys.exit(ExitCode.INTERRUPTED)
        except click.ClickException as error:
            click.echo(f"error: {_explain(error)}", err=True)
            sys.exit(error.exit_code)
        except ConductorError as error:
            click.echo(f"error: {printable_text(str(error))}", err=True)
            sys.exit(exit_code_of(error))
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"error: {printable_text(f'{where}{error.strerror or error}')}", err=True)
            sys.exit(ExitCode.ERROR)
        sys.exit(code or ExitCode.OK)


@click.group(
    cls=Program,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(conductor.__version__, message="%(prog)s %(version)s")
@click.pass_context
def program(context: click.Context) -> None:
    """Raft state directories of Go op-conductors: make, check, understand and save them."""
    for sentence in unknown_variables(os.environ, known_variables(context)):
        click.echo(f"warning: {sentence}", err=True)


def known_variables(context: click.Context) -> frozenset[str]:
    """The environment variables of all commands: one set for `generate` is no mistake of `info`."""
    commands = (program.get_command(context, name) for name in COMMANDS)
    return frozenset(
        variable
        for command in commands
        if command is not None
        for param in command.params
        for variable in _variables_of(param)
    )


def main() -> None:
    """The entry point of `op-conductor-init`."""
    with orderly_end():
        program.main(prog_name="op-conductor-init")


def _variables_of(param: click.Parameter) -> list[str]:
    if param.envvar is None:
        return []
    return [param.envvar] if isinstance(param.envvar, str) else list(param.envvar)


def _explain(error: click.ClickException) -> str:
    """What is wrong, where it was said, and which help to read."""
    text = printable_text(error.format_message())
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return text
    is_value = not isinstance(error, click.MissingParameter)
    if is_value and isinstance(error, click.BadParameter) and isinstance(error.param, click.Option):
        text = f"{_place(error.ctx, error.param)}: {printable_text(error.message)}"
    return f"{text}\nTry '{error.ctx.command_path} --help'."


def _place(context: click.Context, option: click.Option) -> str:
    """The flag or the environment variable that brought the value of an option."""
    flag = option.opts[-1]
    if context.get_parameter_source(option.name or "") is ParameterSource.ENVIRONMENT:
        return f"{' or '.join(_variables_of(option))} (which is {flag})"
    return flag
