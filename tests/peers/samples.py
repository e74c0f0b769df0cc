"""One well-formed example of everything that crosses the wire between members."""

from __future__ import annotations

import dataclasses

from conductor.core.founding import RaftEnd
from conductor.core.greeting import Greeting
from conductor.core.messages import (
    Acknowledged,
    Append,
    AppendRefusal,
    FetchAnswer,
    FetchRequest,
    HandOver,
    HandOverAnswer,
    HandOverOrder,
    Heard,
    InstallBase,
    LogReport,
    Message,
    Mismatch,
    PrePromiseAnswer,
    PrePromiseRequest,
    PromiseGrant,
    PromiseRefusal,
    PromiseRequest,
)
from conductor.core.values import Base, Digest, Epoch, Genesis, Head, Index, Membership, ServerId
from conductor.peers.wire_values import Speaker
from tests.peers.kit import (
    CLUSTER_ID,
    a_certificate,
    a_key,
    a_member,
    a_payload,
    a_payload_entry,
    a_position,
    an_acknowledgement,
    an_epoch_start,
)

SPEAKER = Speaker(a_key("a"), CLUSTER_ID)
BODY = a_payload(8, size=300)
MEMBERS = (a_member("a"), a_member("b"), dataclasses.replace(a_member("c"), voter=False))

BASE = Base(a_position(41, 3), Membership(MEMBERS, 2, Index(5)))
START = an_epoch_start(BASE.position, epoch=4)
PAYLOAD = a_payload_entry(START.position, BODY, height=8, epoch=4)
ENTRIES = (START, PAYLOAD)
BODIES = {PAYLOAD.body_hash: BODY}
CERTIFICATE = a_certificate(PAYLOAD)
REPORT = LogReport(PAYLOAD.position, START.position, Index(41))
ORDER = HandOverOrder(CLUSTER_ID, Epoch(4), a_key("a"), a_key("b"), bytes(64))

APPEND = Append(Epoch(4), 17, BASE.position, ENTRIES, CERTIFICATE, sequencer_ok=True)
HEARTBEAT = Append(Epoch(4), 18, BASE.position, (), None, sequencer_ok=False)

APPEND_ANSWERS = (
    Heard(Epoch(4), 17),
    Acknowledged(17, an_acknowledgement("b", PAYLOAD.position)),
    Mismatch(Epoch(4), 17, REPORT),
    AppendRefusal(Epoch(4), 17, Epoch(9)),
)

INSTALL = InstallBase(Epoch(4), 19, BASE, ENTRIES, CERTIFICATE, sequencer_ok=True)
REQUESTS: tuple[Message, ...] = (
    PrePromiseRequest(Epoch(4), 2**64 - 1),
    PromiseRequest(Epoch(4), 77),
    PromiseRequest(Epoch(4), 77, ORDER),
    FetchRequest(77, Index(40), PAYLOAD.position),
    INSTALL,
    HandOver(ORDER, "its sequencer is unhealthy"),
)
ANSWERS: tuple[tuple[type[Message], Message], ...] = (
    (PrePromiseRequest, PrePromiseAnswer(77, True, Epoch(3), "", REPORT)),
    (PrePromiseRequest, PrePromiseAnswer(77, False, Epoch(9), "hears a leader", REPORT)),
    (PromiseRequest, PromiseGrant(Epoch(4), 77, REPORT)),
    (PromiseRequest, PromiseRefusal(Epoch(4), 77, Epoch(9), "epoch 9 is promised already")),
    (FetchRequest, FetchAnswer(77, ENTRIES)),
    (FetchRequest, FetchAnswer(77, ENTRIES, BASE, CERTIFICATE)),
    (FetchRequest, FetchAnswer(77, ())),
    *((InstallBase, answer) for answer in APPEND_ANSWERS),
    (HandOver, HandOverAnswer(Epoch(4), False, "is paused")),
)
"""Each behind the type of the request that it answers."""

assert PAYLOAD.block is not None
HEAD = Head(PAYLOAD.block, PAYLOAD.body_hash)

GREETING = Greeting(
    cluster_name="test",
    member=a_member("a"),
    configured_voters=("127.0.0.1:7000", "[::1]:7001"),
    quorum_rule=0,
    genesis=Genesis("test", 2, (a_member("a"), a_member("b")), head=HEAD),
    proposed_cluster_id=Digest(CLUSTER_ID),
    paused=True,
    version="1.2.3",
    initial_leader=ServerId("b"),
    raft_end=RaftEnd(3, 42, HEAD),
)
