"""Tasks, queues, error tables and gRPC options: the parts that everything else stands on."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import pytest

from conductor import errors
from conductor.config import Limits
from conductor.core.messages import Heard
from conductor.core.values import Epoch, ServerId
from conductor.errors import ConductorError, Overloaded, PeerRejected, PeerUnreachable, ShuttingDown
from conductor.peers.channels import Channels, channel_options, server_options
from conductor.peers.decoding import (
    INLINE_BYTES_MAX,
    REMEMBERED_BYTES_MAX,
    REMEMBERED_MAX,
    decoded,
    remembering,
)
from conductor.peers.error_map import ANSWERABLE, peer_error, peer_errors, status_of
from conductor.peers.send_queue import Outgoing, SendQueue
from conductor.peers.tasks import OwnedTasks, until_one_ends
from tests.peers.kit import DEADLINE_S, a_heartbeat, answer_with_heard, cluster


async def test_a_queue_keeps_order() -> None:
    queue = SendQueue()
    for number in range(3):
        queue.put(Outgoing(bytes([number]), number))

    assert [await queue.get() for _ in range(3)] == [Outgoing(bytes([n]), n) for n in range(3)]


async def test_one_message_always_fits_however_large() -> None:
    queue = SendQueue(bytes_max=10)
    queue.put(Outgoing(bytes(100)))

    assert await queue.get() == Outgoing(bytes(100))


@pytest.mark.parametrize("size", [4, 1])
async def test_an_overfull_queue_is_broken_for_good(size: int) -> None:
    queue = SendQueue(bytes_max=10, messages_max=3)
    for _ in range(4):
        queue.put(Outgoing(bytes(size)))
    queue.put(Outgoing(b"x"))

    with pytest.raises(Overloaded, match="wait to be sent"):
        await queue.broken()


async def test_room_that_was_made_is_room() -> None:
    queue = SendQueue(bytes_max=10)
    queue.put(Outgoing(bytes(5)))
    for _ in range(20):
        queue.put(Outgoing(bytes(5)))
        await queue.get()
    queue.fail(ShuttingDown("enough"))

    with pytest.raises(ShuttingDown):
        await queue.broken()


async def test_the_first_to_end_ends_the_others() -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("stopped")

    async def fail() -> None:
        raise PeerUnreachable("first")

    with pytest.raises(PeerUnreachable, match="first"):
        await until_one_ends(wait(), fail(), wait())
    assert ended == ["stopped", "stopped"]


async def test_work_that_grpc_cancelled_counts_as_broken() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(PeerUnreachable, match="cancelled"):
        await until_one_ends(cancelled())


async def test_a_task_that_fails_is_reported_at_once() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    tasks = OwnedTasks()

    async def fail() -> None:
        raise errors.InvariantViolation("a bug")

    tasks.start(fail(), "the work")
    await tasks.join()

    assert [context["message"] for context in reported] == ["the work failed"]
    assert isinstance(reported[0]["exception"], errors.InvariantViolation)


async def test_small_messages_are_decoded_at_once_and_large_ones_elsewhere() -> None:
    def decode(data: bytes) -> tuple[int, bool]:
        return len(data), threading.current_thread() is threading.main_thread()

    assert await decoded(decode, bytes(INLINE_BYTES_MAX)) == (INLINE_BYTES_MAX, True)
    assert await decoded(decode, bytes(INLINE_BYTES_MAX + 1)) == (INLINE_BYTES_MAX + 1, False)


def all_errors(kind: type[ConductorError] = ConductorError) -> set[type[ConductorError]]:
    """An error class and all below it."""
    return {kind}.union(*(all_errors(below) for below in kind.__subclasses__()))


def test_small_message_that_comes_again_is_decoded_once() -> None:
    seen: list[bytes] = []

    def decode(data: bytes) -> int:
        seen.append(data)
        return len(data)

    decode_once = remembering(decode)
    large = bytes(REMEMBERED_BYTES_MAX + 1)
    for data in (b"a", b"bb", b"a", large, large):
        assert decode_once(data) == len(data)
    assert seen == [b"a", b"bb", large, large]

    for number in range(REMEMBERED_MAX):
        decode_once(bytes([number] * 3))
    decode_once(b"a")
    assert seen[-1] == b"a"


def test_message_that_cannot_be_decoded_is_refused_every_time() -> None:
    def refuse(data: bytes) -> int:
        raise PeerRejected(data.decode())

    decode_once = remembering(refuse)
    for _ in range(2):
        with pytest.raises(PeerRejected, match="nonsense"):
            decode_once(b"nonsense")


@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        (TimeoutError(), PeerUnreachable, "no answer in time"),
        (asyncio.InvalidStateError(), PeerUnreachable, "the stream has ended"),
        (KeyError("ours"), KeyError, "ours"),
    ],
)
def test_what_grpc_raises_becomes_an_error_of_ours(
    raised: Exception, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text), peer_errors():
        raise raised


def test_every_answerable_error_has_a_status() -> None:
    answerable = {kind for kind in all_errors() if issubclass(kind, ANSWERABLE)}
    assert len(answerable) > 10
    for kind in answerable:
        error = kind.__new__(kind)
        assert status_of(error) not in (grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN)


def test_our_own_bugs_are_no_answer() -> None:
    assert not issubclass(errors.InvariantViolation, ANSWERABLE)
    assert not issubclass(errors.StoreError, ANSWERABLE)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.name != "OK"])
def test_every_status_says_whether_trying_again_may_help(code: grpc.StatusCode) -> None:
    empty = grpc.aio.Metadata()
    error = peer_error(grpc.aio.AioRpcError(code, empty, empty, details="why"))

    may_pass = code.name in {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED"}
    assert type(error) is (PeerUnreachable if may_pass else PeerRejected)
    assert str(error) == f"{code.name}: why"


def test_both_sides_take_messages_of_the_same_size() -> None:
    limits = Limits()
    for options in (dict(channel_options(limits)), dict(server_options(limits))):
        assert options["grpc.max_receive_message_length"] == limits.grpc_message_bytes_max
        assert options["grpc.max_send_message_length"] == limits.grpc_message_bytes_max


def test_the_server_allows_the_pings_that_channels_send() -> None:
    client, server = dict(channel_options(Limits())), dict(server_options(Limits()))

    spacing_ms = server["grpc.http2.min_recv_ping_interval_without_data_ms"]
    assert spacing_ms < client["grpc.keepalive_time_ms"]
    assert server["grpc.http2.max_ping_strikes"] == 0


async def test_probes_have_a_connection_of_their_own() -> None:
    async def who_calls(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return context.peer().encode()

    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]]
    handlers = {"WhoCalls": grpc.unary_unary_rpc_method_handler(who_calls)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    channels = Channels(Limits())
    callers: list[bytes] = []
    for channel in (channels.replication(address), channels.health(address)):
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        call = channel.unary_unary("/test/WhoCalls")
        callers.append(await call(b"", timeout=DEADLINE_S))
    released = channels.release_all_but(())
    for channel in released:
        await channel.close()
    await server.stop(0)

    assert len(set(callers)) == len(released) == 2


async def test_nothing_is_left_behind() -> None:
    before = asyncio.all_tasks()
    async with cluster("a", "b", "c") as nodes:
        (a, b, _) = nodes
        answer_with_heard(b)
        a.peers.send(ServerId("b"), a_heartbeat(1), {}, 0)
        await a.inbox.until(lambda: a.inbox.messages == [Heard(Epoch(1), 1)])
        assert len(asyncio.all_tasks()) > len(before) + 10
    left = asyncio.all_tasks() - before
    if left:
        await asyncio.wait(left, timeout=1)

    assert asyncio.all_tasks() == before
