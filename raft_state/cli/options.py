"""How options are declared: each is an environment variable too.

Invariant: an option's variable follows from its flag, so that knowing one is knowing both:
OP_CONDUCTOR_INIT_OUTPUT_DIR for `--output-dir`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

ENVIRONMENT_PREFIX = "OP_CONDUCTOR_INIT_"

GO_BOOLEAN: Final[Mapping[str, Any]] = {
    "is_flag": False,
    "flag_value": "true",
    "type": click.BOOL,
    "default": False,
    "metavar": "[=true|false]",
}
"""`--force`, `--force=false` and `--force false`: what users of Go programs type."""

Command = TypeVar("Command", bound=Callable[..., Any])


def variable_of(flag: str) -> str:
    """The environment variable of a flag."""
    return ENVIRONMENT_PREFIX + flag.removeprefix("--").replace("-", "_").upper()


def environment_option(
    *declarations: str, meaning: str, default_text: str = "", **rest: Any
) -> Callable[[Command], Command]:
    """`click.option` with its environment variable, and a help text that names it.

    `default_text`: the default as people read it; empty when there is none.
    """
    variable = variable_of(next(name for name in declarations if name.startswith("--")))
    default = f"; default: {default_text}" if default_text else ""
    return click.option(
        *declarations, envvar=variable, help=f"{meaning} [{variable}{default}]", **rest
    )


def items_of(text: str) -> tuple[str, ...]:
    """The items of a comma list without the blanks around them; empty ones stay, to be refused."""
    return tuple(item.strip() for item in text.split(",")) if text.strip() else ()
