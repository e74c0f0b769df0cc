"""How options are declared and shown: with environment variable and default, under a heading.

Invariant: an option's environment variable and TOML key follow from its flag, so that knowing one
is knowing all three.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

from conductor.errors import ConfigError

ENVIRONMENT_PREFIX = "OP_CONDUCTOR_"

GO_BOOLEAN: Final[Mapping[str, Any]] = {
    "is_flag": False,
    "flag_value": "true",
    "type": click.BOOL,
    "default": False,
    "metavar": "[=true|false]",
}
"""`--paused`, `--paused=false` and `--paused false`: what users of Go programs type."""


Value = TypeVar("Value")


def option_value(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """`parse` as the type of an option: its ConfigError becomes click's, which knows the option."""

    @functools.wraps(parse)
    def convert(text: str) -> Value:
        try:
            return parse(text.strip())
        except ConfigError as error:
            raise click.BadParameter(str(error)) from error

    return convert


class EnvironmentOption(click.Option):
    """An option that is an environment variable too: OP_CONDUCTOR_BIND_ADDR for `--bind-addr`."""

    def __init__(
        self, declarations: list[str], *, default_text: str, meaning: str, **rest: Any
    ) -> None:
        """`default_text`: the default as people read it; empty when there is none."""
        self.flag = next(name for name in declarations if name.startswith("--"))
        self.default_text = default_text
        self.meaning = meaning
        self.variable = ENVIRONMENT_PREFIX + self.toml_key.upper()
        super().__init__(declarations, envvar=self.variable, help=meaning, **rest)

    @property
    def toml_key(self) -> str:
        """The flag in snake case."""
        return self.flag.removeprefix("--").replace("-", "_")

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The flag with its value, and what to know of it."""
        record = super().get_help_record(ctx)
        if record is None:
            return None
        default = f"default: {self.default_text}" if self.default_text else "no default"
        return record[0], f"{self.meaning} [{self.variable}; {default}]"


class NodeOption(EnvironmentOption):
    """An option of `run`, which may come from the configuration file as well."""

    def __init__(self, flag: str, section: str, *, toml_type: type = str, **rest: Any) -> None:
        """`section`: its heading in the help. `toml_type`: what the file must give."""
        super().__init__([flag], **rest)
        self.section = section
        self.toml_type = toml_type


class NodeCommand(click.Command):
    """A command that shows its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in the order of their declaration, a new heading for each section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                heading = param.section if isinstance(param, NodeOption) else "Other"
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)
