"""Reads the configuration file.

Invariant: nothing in the file is passed over. A key that no option has, or a value of the wrong
type, is an error that names the key.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from conductor.cli.options import NodeOption
from conductor.errors import ConfigError

FILE_BYTES_MAX = 2**20

_TYPE_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    bool: "true or false",
    list: "a list of strings",
    float: "a fraction",
    dict: "a table",
}


def read_defaults(context: click.Context, option: click.Parameter, path: Path | None) -> None:
    """Let the file, if there is one, speak for the options that nobody else speaks for."""
    if path is None:
        return
    values = load_toml(path)
    others = [param for param in context.command.params if param is not option]
    types = {param.toml_key: param.toml_type for param in others if isinstance(param, NodeOption)}
    try:
        check_keys(values, types)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    context.default_map = values


def load_toml(path: Path) -> dict[str, Any]:
    """The keys and values of a TOML file; ConfigError when it cannot be read or is no TOML."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path} is no configuration: it has more than {FILE_BYTES_MAX} bytes")
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        # A TOMLDecodeError is one, as is what comes of bytes or digits that make no text or number.
        raise ConfigError(f"{path} is not TOML: {error}") from error


def check_keys(values: Mapping[str, Any], types: Mapping[str, type]) -> None:
    """Raise ConfigError unless every key is one of `types` and has a value of its type."""
    for key, value in values.items():
        if key not in types:
            raise ConfigError(f"unknown key {key!r}{_suggestion(key, types)}")
        if not _has_type(value, types[key]):
            found = "a list of others" if isinstance(value, list) else _type_name(value)
            raise ConfigError(f"{key} must be {_TYPE_NAMES[types[key]]}, not {found}: {value!r}")
        if isinstance(value, str) and "\0" in value:
            raise ConfigError(f"{key} holds a NUL character: {value!r}")


def _has_type(value: Any, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and all(_has_type(item, str) for item in value)
    # Exactly that type: for Python, true is a number too.
    return type(value) is kind


def _type_name(value: Any) -> str:
    return _TYPE_NAMES.get(type(value), "a date or time")


def _suggestion(key: str, known: Iterable[str]) -> str:
    keys = sorted(known)
    near = difflib.get_close_matches(key.lower().replace("-", "_"), keys, n=1)
    return f": did you mean {near[0]!r}?" if near else f"; the keys are {', '.join(keys)}"
