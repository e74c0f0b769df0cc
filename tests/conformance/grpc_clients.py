"""gRPC clients that are not ours, and know of us what reflection says: `buf curl`, `grpcurl`."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # no stubs

from conductor.config import Address
from tests.e2e.nodes import Finished, eventually, finished

BUF = str(Path(sys.executable).parent / "buf")


@dataclass(frozen=True, slots=True)
class Failed:
    """An error as a client shows it."""

    code: int
    """The number of the status."""
    text: str
    reason: str
    """The code of the error (docs/errors.md); empty without details."""
    metadata: dict[str, str] = field(default_factory=dict)


class Program(Protocol):
    """A client program."""

    def command(self, address: Address, rpc: str, request: object) -> list[str]:
        """What to run for a call. `rpc` is `service/method`."""
        ...

    def failed(self, done: Finished) -> Failed:
        """What the program has said of an error."""
        ...


class Buf:
    """`buf curl`, from PyPI."""

    def command(self, address: Address, rpc: str, request: object) -> list[str]:
        """Without TLS the protocol has to be named."""
        options = ("--protocol", "grpc", "--http2-prior-knowledge", "--emit-defaults")
        data = ("-d", json.dumps(request))
        return [BUF, "curl", *options, *data, f"http://{address}/conductor.v1.{rpc}"]

    def failed(self, done: Finished) -> Failed:
        """Its exit code is eight times the status; the details are bytes."""
        document = json.loads(done.stderr)
        code, rest = divmod(done.exit_code or 0, 8)
        assert rest == 0
        info = error_details_pb2.ErrorInfo()
        for detail in document.get("details", ()):
            assert detail["type"] == "google.rpc.ErrorInfo"
            info.ParseFromString(base64.b64decode(detail["value"] + "=="))
        return Failed(code, document["message"], info.reason, dict(info.metadata))


class Grpcurl:
    """`grpcurl`, which is written in Go."""

    def __init__(self, program: Path) -> None:
        self._program = str(program)

    def command(self, address: Address, rpc: str, request: object) -> list[str]:
        """Errors as JSON, which is easier to read than the text."""
        options = ("-plaintext", "-format-error", "-emit-defaults")
        data = ("-d", json.dumps(request))
        return [self._program, *options, *data, str(address), f"conductor.v1.{rpc}"]

    def failed(self, done: Finished) -> Failed:
        """Its exit code is 64 and the status; it decodes the details."""
        document = json.loads(done.stderr)
        assert done.exit_code == 64 + document["code"]
        reason, metadata = "", {}
        for detail in document.get("details", ()):
            assert detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
            assert detail["domain"] == "op-conductor"
            reason, metadata = detail["reason"], detail["metadata"]
        return Failed(document["code"], document["message"], reason, metadata)


class Caller:
    """Calls RPCs with a program, and remembers which."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.called: set[str] = set()

    async def call(self, address: Address, rpc: str, **request: object) -> Any:
        """The answer, its names in snake case. AssertionError when there is an error instead."""
        done = await self._run(address, rpc, request)
        assert done.exit_code == 0, done
        (answer,) = documents(done.stdout)
        return answer

    async def failure(self, address: Address, rpc: str, **request: object) -> Failed:
        """The error that the call must end with."""
        done = await self._run(address, rpc, request)
        assert done.exit_code != 0, done
        return self._program.failed(done)

    async def _run(self, address: Address, rpc: str, request: object) -> Finished:
        self.called.add(rpc)
        return await finished(*self._program.command(address, rpc, request))

    @asynccontextmanager
    async def watching(self, address: Address, directory: Path) -> AsyncIterator[Watch]:
        """A program that watches the epochs of a node, until it ends or the block does."""
        rpc = "ConductorService/WatchEpochs"
        self.called.add(rpc)
        output = directory / f"watch-{address.port}.json"
        with output.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                *self._program.command(address, rpc, {}), stdout=file
            )
            try:
                yield Watch(process, output)
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()


@dataclass(frozen=True, slots=True)
class Watch:
    """A program that prints what it is told."""

    process: asyncio.subprocess.Process
    output: Path

    @property
    def told(self) -> Sequence[Any]:
        """All that it was told so far."""
        return documents(self.output.read_text("utf-8"))

    async def until_told(self, leader_id: str, *, within_s: float) -> Any:
        """The answer that names this leader, once it is the newest."""

        async def newest() -> Any:
            told = self.told
            return told[-1] if told and told[-1]["leader_id"] == leader_id else None

        return await eventually(newest, f"a watcher learns of {leader_id}", within_s=within_s)

    async def ended(self, *, within_s: float) -> int:
        """Its exit code, once it has ended by itself."""
        async with asyncio.timeout(within_s):
            return await self.process.wait()


def documents(text: str) -> list[Any]:
    """The JSON documents in a text that may end in the middle of one, names in snake case."""
    decoder, place = json.JSONDecoder(), 0
    found: list[Any] = []
    while True:
        start = text.find("{", place)
        if start < 0:
            return found
        try:
            document, place = decoder.raw_decode(text, start)
        except json.JSONDecodeError:
            return found
        found.append(_in_snake_case(document))


def _in_snake_case(value: Any) -> Any:
    """`buf` writes the names of fields as JavaScript does, `grpcurl` as the proto files do."""
    if isinstance(value, list):
        return [_in_snake_case(one) for one in value]
    if isinstance(value, dict):
        return {
            "".join(f"_{c.lower()}" if c.isupper() else c for c in name): _in_snake_case(one)
            for name, one in value.items()
        }
    return value
