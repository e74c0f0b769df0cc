"""The program: which commands there are, and how it ends.

Invariant: a command is imported only when it is called for, and every error that is not a bug
becomes one `error:` on stderr and an exit code of `exit_codes`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

import conductor
from conductor.cli.options import EnvironmentOption
from conductor.cli.words import say_error
from conductor.errors import ConductorError
from conductor.exit_codes import ExitCode, exit_code_of

COMMANDS = {
    "run": "conductor.cli.run:run",
    "status": "conductor.cli.status:status",
    "members": "conductor.cli.members:members",
    "history": "conductor.cli.history:history",
    "payload": "conductor.cli.payload:payload",
    "transfer": "conductor.cli.transfer:transfer",
    "pause": "conductor.cli.pause:pause",
    "resume": "conductor.cli.pause:resume",
    "override-leader": "conductor.cli.override_leader:override_leader",
    "migrate": "conductor.cli.migrate:migrate",
    "keygen": "conductor.cli.keygen:keygen",
    "devnet": "conductor.devnet.cli:devnet",
}
"""Where each command is found; in the order of the help."""

_EXAMPLES = """\b
Examples:
  op-conductor --identity 1                  the same as: op-conductor run --identity 1
  op-conductor run --help                    every option of a node
  op-conductor status --server host:18080    who leads, and is anything wrong
  op-conductor history                       why the leadership moved
  op-conductor transfer sequencer-2          pass the leadership on
  op-conductor keygen --out identity.pem     a key for run --identity-key
\b
Exit codes: 0 ok, 1 error, 2 usage or configuration, 3 degraded, 4 no leader or
quorum, 5 refused, 6 timeout or unreachable, 7 data directory refused.
\b
Completion in bash (zsh and fish alike):
  eval "$(_OP_CONDUCTOR_COMPLETE=bash_source op-conductor)"
"""


class Program(click.Group):
    """The commands of COMMANDS; options without a command are those of `run`."""

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
        """Put `run` before options that are not the program's own, and where there is nothing."""
        own = {name for param in self.get_params(ctx) for name in param.opts}
        first = args[0].partition("=")[0] if args else ""
        # While completing, nothing typed yet may still become a command.
        if (not args and not ctx.resilient_parsing) or (first.startswith("-") and first not in own):
            args = ["run", *args]
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
            say_error(error)
            sys.exit(exit_code_of(error))
        sys.exit(code or ExitCode.OK)


@click.group(
    cls=Program,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(conductor.__version__, message="%(prog)s %(version)s")
def program() -> None:
    """Sequencer high availability for OP Stack chains.

    Each sequencer host runs a conductor beside op-node. The conductors of a chain elect one
    leader, whose op-node alone builds blocks, and replicate every block before it is gossiped.

    Without a command, `run` is meant: op-conductor --identity 1 starts a node.
    """


def main() -> None:
    """The entry point of `op-conductor` and of `python -m conductor`."""
    program.main(prog_name="op-conductor")


def _explain(error: click.ClickException) -> str:
    """What is wrong, where it was said, and which help to read."""
    text = error.format_message()
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return text
    if isinstance(error, click.BadParameter) and isinstance(error.param, click.Option):
        return f"{_place(error.ctx, error.param)}: {error.message}"
    return f"{text}\nTry '{error.ctx.command_path} --help'."


def _place(context: click.Context, option: click.Option) -> str:
    """The flag, environment variable or key of the file that brought the value of an option."""
    flag = option.opts[-1]
    source = context.get_parameter_source(option.name or "")
    if isinstance(option, EnvironmentOption) and source is ParameterSource.ENVIRONMENT:
        return f"{option.variable} (which is {flag})"
    if isinstance(option, EnvironmentOption) and source is ParameterSource.DEFAULT_MAP:
        return f"{option.toml_key} in the configuration file (which is {flag})"
    return flag
