"""Finds environment variables that look like options and are none.

Invariant: a misspelt variable never passes in silence, and what Kubernetes puts there never gives a
warning.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

from raft_state.cli.options import ENVIRONMENT_PREFIX

_KUBERNETES = re.compile(
    r"(_SERVICE_HOST|_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT|"
    r"_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$"
)
"""How the variables end that every pod is given for a service called op-conductor-init*."""


def unknown_variables(present: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """A sentence for each variable in `present` that is meant for us and means nothing."""
    return tuple(
        _sentence(name, known)
        for name in sorted(present)
        if name.startswith(ENVIRONMENT_PREFIX)
        and name not in known
        and not _KUBERNETES.search(name.removeprefix(ENVIRONMENT_PREFIX.removesuffix("_")))
    )


def _sentence(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)
    hint = f": did you mean {near[0]}?" if near else ""
    return f"the environment variable {name} is not an option and is ignored{hint}"
