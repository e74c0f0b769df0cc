"""Whatever bytes come in, the answer is a clear error and the node goes on."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.api.acknowledgements import acknowledgement_from_json
from conductor.api.calls import LastingCalls
from conductor.api.jsonrpc import JsonRpc
from conductor.api.jsonrpc_method import Services
from conductor.api.jsonrpc_methods import METHODS
from conductor.errors import InvalidArgument
from tests.api.fakes import FakeConductor
from tests.payload.builders import a_document, as_bytes

CODES = {-32700, -32600, -32601, -32602, -32000}

documents: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=8,
)
methods = st.sampled_from([*METHODS, "nothing"])
messages = documents | st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | documents,
        "id": documents,
        "method": methods | documents,
        "params": st.lists(documents | st.just(a_document()), max_size=3) | documents,
    },
)


async def answer_to(body: bytes) -> bytes:
    """What a JSON-RPC server with a conductor answers."""
    return await JsonRpc(Services(FakeConductor(), LastingCalls())).answer(body)


def check(answer: Any) -> None:
    """Require one well-formed JSON-RPC answer."""
    assert answer["jsonrpc"] == "2.0"
    assert "id" in answer
    if "error" in answer:
        assert answer.keys() == {"jsonrpc", "id", "error"}
        assert answer["error"].keys() == {"code", "message"}
        assert answer["error"]["code"] in CODES
        assert answer["error"]["message"]
    else:
        assert answer.keys() == {"jsonrpc", "id", "result"}


@settings(deadline=None)
@given(messages)
async def test_any_single_message_gets_a_well_formed_answer(message: Any) -> None:
    answer = await answer_to(as_bytes(message))
    if answer:
        document = json.loads(answer)
        check(document[0] if isinstance(document, list) else document)
    else:
        assert isinstance(message, dict)
        assert "id" not in message


@settings(deadline=None)
@given(st.lists(messages, min_size=1, max_size=5))
async def test_any_batch_gets_an_answer_for_each_message_that_waits(
    batch: list[Any],
) -> None:
    answer = await answer_to(as_bytes(batch))
    answers = json.loads(answer) if answer else []
    for one in answers:
        check(one)
    asked = [message for message in batch if not isinstance(message, dict) or "id" in message]
    assert len(asked) <= len(answers) <= len(batch)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 10_000))
async def test_any_bytes_get_a_well_formed_answer(noise: bytes, place: int) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "conductor_commitUnsafePayload"}
    body = as_bytes(request | {"params": [a_document()]})
    place %= len(body)
    for damaged in (noise, body[:place] + noise + body[place + len(noise) :]):
        answer = await answer_to(damaged)
        for document in [json.loads(answer)] if answer else []:
            check(document[0] if isinstance(document, list) else document)


@settings(deadline=None)
@given(documents | st.binary())
def test_any_acknowledgement_is_taken_or_refused(document: Any) -> None:
    raw = document if isinstance(document, bytes) else as_bytes(document)
    with contextlib.suppress(InvalidArgument):
        acknowledgement_from_json(raw)
