"""Generates the code of `proto/` into the package that each file's path names.

`proto/conductor/v1/x.proto` becomes `conductor/v1/x_pb2*.py`: with the repository root as output,
the generated imports (`from conductor.v1 import x_pb2`) are the project's own package and need no
rewriting. The result is committed, so that users need no generator; `--check` says whether it is
what the generator makes of the protos today.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"


def generated_files(root: Path) -> dict[Path, bytes]:
    """Content of each generated file below `root`, by path from `root`."""
    packages = {file.parent.relative_to(PROTO) for file in PROTO.rglob("*.proto")}
    return {
        file.relative_to(root): file.read_bytes()
        for package in packages
        for file in (root / package).glob("*_pb2*.py*")
    }


def generate(root: Path) -> None:
    """Generate every file of `proto/` below `root`; exit with the compiler's status if it fails."""
    programs = Path(sysconfig.get_path("scripts"))
    status = protoc.main(
        [
            "protoc",
            f"-I{PROTO}",
            f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
            f"--plugin=protoc-gen-mypy={programs / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={programs / 'protoc-gen-mypy_grpc'}",
            f"--python_out={root}",
            f"--grpc_python_out={root}",
            f"--mypy_out=quiet:{root}",
            # `only_async`: a wrong word here is ignored silently and the stubs get sync unions.
            f"--mypy_grpc_out=quiet,only_async:{root}",
            *sorted(str(file) for file in PROTO.rglob("*.proto")),
        ]
    )
    if status != 0:
        sys.exit(status)


def main() -> None:
    """Bring the generated code up to date, or with `--check` only name the files that are not."""
    parser = argparse.ArgumentParser(description="Generate the committed code of proto/.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when stale")
    check = parser.parse_args().check

    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = generated_files(Path(scratch))
    committed = generated_files(ROOT)
    stale = sorted(
        path for path in fresh.keys() | committed.keys() if fresh.get(path) != committed.get(path)
    )
    if check and stale:
        names = "".join(f"  {path}\n" for path in stale)
        sys.exit(f"Generated code is stale; run scripts/gen_proto.py and commit:\n{names}")
    for path in stale:
        if path in fresh:
            (ROOT / path).write_bytes(fresh[path])
        else:
            (ROOT / path).unlink()
        print(path)


if __name__ == "__main__":
    main()
