"""The floor: what it takes to make bytes durable on two of three machines, with nothing around it.

Three processes on this machine. The leader appends the bytes to a file of its own and syncs it
(`fdatasync`) in a thread; meanwhile it sends them over plain TCP to two followers, who append, sync
and answer with eight bytes. A sample ends when two of the three are durable, whichever they are;
the next begins when all are. No hashes, signatures, checks, protobuf or HTTP: a replicated commit
cannot be faster here.

The files grow, as a log does. Writing into a file that was filled before is faster still, but
somebody would have to fill it first, so that is not the floor.

    python -m benchmarks.floor [--samples N] [--pause-ms N] [--dir DIR] [-o json]
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from benchmarks.figures import Summary, table
from benchmarks.setting import (
    SIZES_BYTES,
    Machine,
    add_pause_option,
    option_parser,
    print_json,
    setting,
    size_name,
)

HOST = "127.0.0.1"
START_TIMEOUT_S = 30.0
SAMPLE_TIMEOUT_S = 30.0
WARM_UP_SAMPLES = 10

_HEADER = struct.Struct(">QI")
"""The number of a sample, and how many bytes follow."""

_ANSWER = struct.Struct(">Q")
"""The number of a sample that is durable."""


class GrowingFile:
    """Appends."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND, 0o600)

    def append(self, data: bytes | bytearray) -> None:
        """Return when the data is durable."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._file, left) :]
        os.fdatasync(self._file)


# A follower


def follow(pipe: Connection, path: Path) -> None:
    """Tell the port through the pipe, then append what comes there until the leader hangs up."""
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(START_TIMEOUT_S)
        pipe.send(listener.getsockname()[1])
        link, _ = listener.accept()
    file = GrowingFile(path)
    with link:
        link.settimeout(None)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while header := _received(link, _HEADER.size):
            number, size_bytes = _HEADER.unpack(header)
            file.append(_received(link, size_bytes))
            link.sendall(_ANSWER.pack(number))


def _received(link: socket.socket, size_bytes: int) -> bytearray:
    """So many bytes; none when the other side has hung up."""
    buffer = bytearray(size_bytes)
    left = memoryview(buffer)
    while left:
        count = link.recv_into(left)
        if not count:
            return bytearray()
        left = left[count:]
    return buffer


# The leader


def lead(pipe: Connection, path: Path, ports: tuple[int, ...]) -> None:
    """Carry out one order after the other, until nobody orders. They are those of `measure`."""
    leader = Leader(path, ports)
    while True:
        try:
            size_bytes, count, pause_s = pipe.recv()
        except EOFError:
            return
        body = os.urandom(size_bytes)
        samples_ms = []
        for _ in range(count):
            time.sleep(pause_s)
            samples_ms.append(leader.sample(body))
        pipe.send(samples_ms)


class Leader:
    """A thread that sends and listens, and one that writes."""

    def __init__(self, path: Path, ports: tuple[int, ...]) -> None:
        self._file = GrowingFile(path)
        self._number = 0
        """Of the newest sample."""
        self._jobs: SimpleQueue[tuple[int, bytes]] = SimpleQueue()
        own, self._own_answers = socket.socketpair()
        links = [socket.create_connection((HOST, port), START_TIMEOUT_S) for port in ports]
        self._unsent: dict[socket.socket, deque[memoryview]] = {link: deque() for link in links}
        self._durable = dict.fromkeys((own, *links), 0)
        """The newest durable sample of each of the three."""
        self._selector = selectors.DefaultSelector()
        for link in self._durable:
            link.setblocking(False)
            self._selector.register(link, selectors.EVENT_READ)
        for link in links:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._write, daemon=True).start()

    def sample(self, body: bytes) -> float:
        """Make the body durable on two of three; milliseconds taken.

        The third is waited for outside of that time: a floor that shares the disk with its own past
        is higher, and would flatter what is compared with it.
        """
        started = time.perf_counter()
        self._number += 1
        self._jobs.put((self._number, body))
        header = _HEADER.pack(self._number, len(body))
        for link, unsent in self._unsent.items():
            unsent.extend((memoryview(header), memoryview(body)))
            self._send(link)
        while sorted(self._durable.values())[1] < self._number:
            self._progress()
        taken_ms = (time.perf_counter() - started) * 1000
        while min(self._durable.values()) < self._number:
            self._progress()
        return taken_ms

    def _write(self) -> None:
        while True:
            number, body = self._jobs.get()
            self._file.append(body)
            self._own_answers.send(_ANSWER.pack(number))

    def _progress(self) -> None:
        """Wait until somebody has answered, or takes more."""
        ready = self._selector.select(SAMPLE_TIMEOUT_S)
        if not ready:
            raise TimeoutError(f"nothing became durable within {SAMPLE_TIMEOUT_S:g} s")
        for key, events in ready:
            link = key.fileobj
            assert isinstance(link, socket.socket)
            if events & selectors.EVENT_READ:
                (self._durable[link],) = _ANSWER.unpack(link.recv(_ANSWER.size))
            if events & selectors.EVENT_WRITE:
                self._send(link)

    def _send(self, link: socket.socket) -> None:
        """Send what the link takes now; the selector tells when it takes the rest."""
        unsent = self._unsent[link]
        try:
            while unsent:
                rest = unsent[0][link.send(unsent[0]) :]
                if rest:
                    unsent[0] = rest
                else:
                    unsent.popleft()
        except BlockingIOError:
            pass
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if unsent else 0)
        if self._selector.get_key(link).events != events:
            self._selector.modify(link, events)


# All three


class Floor:
    """The three processes, for as long as the context lasts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._processes: list[SpawnProcess] = []

    def __enter__(self) -> Floor:
        # If this fails, each of them notices that its pipe is closed, or hears nothing in time.
        pipes = [self._start(follow, f"floor-{number}") for number in (2, 3)]
        self._orders = self._start(lead, "floor-1", tuple(pipe.recv() for pipe in pipes))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()

    def _start(self, target: Callable[..., None], name: str, *rest: object) -> Connection:
        # Spawned, so that they hold nothing of this process open, and end when it does.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(theirs, self._directory / name, *rest))
        self._processes.append(process)
        process.start()
        theirs.close()
        return ours

    def measure(self, size_bytes: int, count: int, pause_s: float) -> list[float]:
        """The times of so many samples of that size, in milliseconds, each after a pause.

        EOFError when a process has failed; it says why on stderr.
        """
        self._orders.send((size_bytes, count, pause_s))
        samples_ms: list[float] = self._orders.recv()
        return samples_ms


def main() -> None:
    """Measure every size and print a table."""
    parser = option_parser(__doc__)
    add_pause_option(parser)
    parser.add_argument("--samples", type=int, default=200, help="of each size")
    arguments = parser.parse_args()
    machine = Machine(arguments.dir)
    with setting(arguments.dir) as directory, Floor(directory) as floor:
        summaries = {}
        for size_bytes in SIZES_BYTES:
            floor.measure(size_bytes, WARM_UP_SAMPLES, 0)
            samples_ms = floor.measure(size_bytes, arguments.samples, arguments.pause_ms / 1000)
            summaries[size_bytes] = Summary.of(samples_ms)
    if arguments.output == "json":
        document: dict[str, Any] = {"machine": machine.facts(), "sizes": []}
        for size_bytes, summary in summaries.items():
            document["sizes"].append({"size_bytes": size_bytes, **dataclasses.asdict(summary)})
        print_json(document)
        return
    print(machine.sentence() + "\n")
    body = (
        (size_name(size_bytes), f"{summary.p50_ms:.2f}", f"{summary.p99_ms:.2f}")
        for size_bytes, summary in summaries.items()
    )
    print(table(("bytes", "p50 ms", "p99 ms"), body))


if __name__ == "__main__":
    main()
