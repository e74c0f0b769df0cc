"""The state machine of one member: an event and the time in, effects out.

Invariants: roles change here only, in `_abdicate`, `_campaign` and `_lead`; a step looks at the
clock before it looks at the event, so that a node that was stopped for a while does not act on a
lease that has run out; nothing here knows how anything is stored, sent or measured.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from conductor.core.adoption import fetched
from conductor.core.campaign import Campaign, Phase
from conductor.core.effects import Effects, LeadershipChanged, RequestFailed
from conductor.core.events import (
    DeadlineReached,
    Designated,
    Event,
    FitnessChanged,
    HandOverRequested,
    MessageReceived,
    PayloadSubmitted,
    PeerConnected,
    PeerDied,
    PeerDisconnected,
    PeerFitnessChanged,
    ReadRequested,
    RequestAbandoned,
    SequencerStarted,
    StopRequested,
    WriteCompleted,
)
from conductor.core.hand_over import HandOverAttempt, Stage, find_target, is_near, order_refused
from conductor.core.housekeeping import Housekeeping
from conductor.core.leadership import Leadership
from conductor.core.log import Log
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
    Mismatch,
    PrePromiseAnswer,
    PrePromiseRequest,
    PromiseGrant,
    PromiseRefusal,
    PromiseRequest,
)
from conductor.core.node import Node, Settings
from conductor.core.values import Digest, Epoch, MemberKey, Promise, ServerId
from conductor.core.voter import Voter
from conductor.errors import NotLeader, TransferRefused

AUTOMATIC_REQUEST = 0
"""The request id of a hand-over that nobody waits for."""


class Role(enum.Enum):
    """What a member is doing."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(frozen=True, slots=True)
class KnownLeader:
    """An established leadership."""

    server_id: ServerId
    epoch: Epoch


class Machine:
    """One member of a formed cluster."""

    def __init__(
        self, *, key: MemberKey, cluster_id: Digest, settings: Settings, log: Log, promise: Promise
    ) -> None:
        self.node = Node(key, cluster_id, settings, log, promise)
        self.voter = Voter(
            self.node, leads_with_quorum=self._leads_with_quorum, abdicate=self._abdicate
        )
        self.housekeeping = Housekeeping(self.node)
        self.leadership: Leadership | None = None
        self.campaign: Campaign | None = None
        self.hand_over: HandOverAttempt | None = None
        self.known_leader: KnownLeader | None = None
        self._led_under: HandOverOrder | None = None
        """The order that this node has obeyed, if its last leadership began with one."""
        self._nonce = 0
        self._automatic_hand_over_ms = 0

    # The one way in

    def step(self, event: Event, now_ms: int) -> Effects:
        """Take one event at the time `now_ms` (monotonic, milliseconds)."""
        self.node.now_ms = max(self.node.now_ms, now_ms)
        self._look_at_the_clock()
        self._take(event)
        if self.hand_over is not None:
            self.hand_over.on_progress()
        self._note_leader()
        return self.node.outbox.take(self.node.now_ms)

    def next_deadline_ms(self) -> int:
        """When a `DeadlineReached` is wanted at the latest."""
        node = self.node
        deadlines = [self.housekeeping.next_deadline_ms]
        if self.leadership is not None:
            deadlines.append(self.leadership.next_deadline_ms)
        if self.campaign is not None:
            deadlines.append(self.campaign.next_deadline_ms)
        if self.hand_over is not None:
            deadlines.append(self.hand_over.deadline_ms)
        contact = self.voter.live_contact()
        if contact is not None:
            deadlines.append(contact.heard_ms + node.settings.leader_timeout_ms)
        return min(deadlines)

    @property
    def role(self) -> Role:
        """What this member is doing."""
        if self.leadership is not None:
            return Role.LEADER
        return Role.CANDIDATE if self.campaign is not None else Role.FOLLOWER

    @property
    def is_established(self) -> bool:
        """Whether this member may say that it leads."""
        return self.leadership is not None and self.leadership.established

    # Time

    def _look_at_the_clock(self) -> None:
        if self.leadership is not None:
            self.leadership.on_time()
        if self.campaign is not None:
            self.campaign.on_time()
            self._drop_ended_campaign()
        if self.hand_over is not None:
            self.hand_over.on_time()
            self._drop_ended_hand_over()
        self.housekeeping.on_time()

    # Events

    def _take(self, event: Event) -> None:
        match event:
            case MessageReceived(sender, message, reply_to):
                self._take_message(sender, message, reply_to)
            case WriteCompleted(sequence):
                self.node.outbox.completed(sequence)
            case DeadlineReached():
                pass
            case SequencerStarted(block_hash):
                if self.leadership is not None:
                    self.leadership.sequencer_started(block_hash)
            case StopRequested():
                self._abdicate("the node stops")
                self.node.save_certified()
            case Designated(server_id, reason):
                self._designated(server_id, reason)
            case PayloadSubmitted() | ReadRequested() | HandOverRequested() | RequestAbandoned():
                self._take_request(event)
            case FitnessChanged(serving, sequencer_ok, paused):
                self.node.serving, self.node.sequencer_ok = serving, sequencer_ok
                self.node.paused = paused
            case PeerFitnessChanged(server_id, serving):
                change = self.node.serving_peers.add if serving else self.node.serving_peers.discard
                change(server_id)
            case PeerConnected(server_id) | PeerDisconnected(server_id) | PeerDied(server_id):
                self._peer_changed(event, server_id)

    def _take_request(
        self, event: PayloadSubmitted | ReadRequested | HandOverRequested | RequestAbandoned
    ) -> None:
        leadership = self.leadership
        if isinstance(event, RequestAbandoned):
            if leadership is not None:
                leadership.abandon(event.request_id)
        elif leadership is None:
            leader_id = self.known_leader.server_id if self.known_leader else ""
            error = NotLeader(leader_id=leader_id)
            self.node.outbox.notify(RequestFailed(event.request_id, error))
        elif isinstance(event, PayloadSubmitted):
            leadership.submit(event)
        elif isinstance(event, ReadRequested):
            leadership.read(event.request_id)
        else:
            self._start_hand_over(leadership, event)

    def _take_message(self, sender: MemberKey, message: object, reply_to: int) -> None:
        self.node.dead_peers.discard(sender.server_id)
        match message:
            case Append():
                self.voter.on_append(sender, message, reply_to)
            case InstallBase():
                self.voter.on_install_base(sender, message, reply_to)
            case PrePromiseRequest():
                self.voter.on_pre_promise(sender, message, reply_to)
            case PromiseRequest():
                self.voter.on_promise_request(sender, message, reply_to)
            case FetchRequest():
                self._serve_fetch(sender, message, reply_to)
            case HandOver():
                self._take_order(sender, message, reply_to)
            case _ if self.node.log.membership.has_member(sender):
                self._take_answer(sender, message)

    def _take_answer(self, sender: MemberKey, message: object) -> None:
        leadership, campaign = self.leadership, self.campaign
        match message:
            case Acknowledged() if leadership:
                leadership.on_acknowledged(sender, message)
            case Heard() if leadership:
                leadership.on_heard(sender, message)
            case Mismatch() if leadership:
                leadership.on_mismatch(sender, message)
            case AppendRefusal():
                self.node.observe_epoch(message.promised_epoch)
                if leadership:
                    leadership.on_refusal(sender, message)
            case PrePromiseAnswer() if campaign:
                campaign.on_pre_promise_answer(sender, message)
            case PromiseGrant() if campaign:
                campaign.on_grant(sender, message)
            case PromiseRefusal() if campaign:
                campaign.on_refusal(sender, message)
            case FetchAnswer() if campaign:
                campaign.on_fetch_answer(sender, message)
            case HandOverAnswer() if leadership and not message.accepted:
                order_refused(leadership, self.hand_over, sender, message)
        self._drop_ended_campaign()
        self._drop_ended_hand_over()

    def _peer_changed(
        self, event: PeerConnected | PeerDisconnected | PeerDied, server_id: ServerId
    ) -> None:
        if isinstance(event, PeerDied):
            self.node.dead_peers.add(server_id)
            member = self.node.log.membership.member(server_id)
            if self.campaign is not None and member is not None:
                self.campaign.source_lost(member.key)
                self._drop_ended_campaign()
            if self.hand_over is not None and self.hand_over.target.server_id == server_id:
                self.hand_over.on_target_died()
                self._drop_ended_hand_over()
        elif isinstance(event, PeerConnected):
            self.node.dead_peers.discard(server_id)
            if self.leadership is not None:
                self.leadership.replication.restart(server_id)

    def _serve_fetch(self, sender: MemberKey, request: FetchRequest, reply_to: int) -> None:
        """Send entries towards exactly the target, once they are durable here."""
        node = self.node

        def answer() -> None:
            node.outbox.send(sender.server_id, fetched(node, request), reply_to)

        node.outbox.when_durable(answer)

    # Roles

    def _leads_with_quorum(self) -> bool:
        return self.leadership is not None and self.leadership.has_quorum

    def _abdicate(self, reason: str) -> None:
        """End the own leadership or campaign, if there is one."""
        if self.leadership is not None:
            ended, self.leadership = self.leadership, None
            ended.end(reason)
            if ended.established:
                self.known_leader = None
                self.node.outbox.notify(LeadershipChanged(ended.epoch, None, reason))
            if self.hand_over is not None:
                self.hand_over.on_stepped_down()
        if self.campaign is not None:
            self.campaign.end(reason)
            self.campaign = None

    def _designated(self, server_id: ServerId, reason: str) -> None:
        """The epoch manager's word: try to lead, or pass the leadership on."""
        if server_id == self.node.key.server_id:
            idle = self.leadership is None and self.campaign is None
            has_given_away = self.hand_over is not None and self.hand_over.is_given_away
            if idle and not has_given_away and not self.voter.why_not_campaign():
                self._campaign(reason, order=None)
        elif self.is_established:
            self._hand_over_by_itself(server_id, reason)

    def _campaign(self, reason: str, order: HandOverOrder | None) -> None:
        # Also after a restart: what answers the process before this one must not pass for ours.
        self._nonce = max(self._nonce + 1, self.node.now_ms)
        self.campaign = Campaign(
            self.node,
            self.voter,
            nonce=self._nonce,
            reason=reason,
            order=order,
            won=self._lead,
        )
        self.campaign.start()
        self._drop_ended_campaign()

    def _lead(self) -> None:
        """The campaign has won: this node leads, established or not."""
        campaign = self.campaign
        if campaign is None:
            return
        self.campaign = None
        self._led_under = campaign.order
        self.voter.note_own_leadership(campaign.epoch)
        self.leadership = Leadership(
            self.node, campaign.epoch, campaign.reason, abdicate=self._abdicate
        )
        self.leadership.start()

    def _drop_ended_campaign(self) -> None:
        if self.campaign is not None and self.campaign.phase is Phase.ENDED:
            self.campaign = None

    # Hand-over

    def _start_hand_over(self, leadership: Leadership, event: HandOverRequested) -> None:
        try:
            if not leadership.established:
                raise NotLeader("node is not the leader: its epoch is not established")
            if self.hand_over is not None:
                raise TransferRefused("leadership transfer in progress")
            target = find_target(self.node, leadership, event.target, forced=event.force)
        except (NotLeader, TransferRefused) as error:
            self.node.outbox.notify(RequestFailed(event.request_id, error))
            return
        self.hand_over = HandOverAttempt(
            self.node,
            leadership,
            target.member.key,
            request_id=event.request_id,
            reason=event.reason,
            timeout_ms=event.timeout_ms,
            forced=event.force,
            take_back=self._take_back,
        )
        self.hand_over.on_progress()

    def _hand_over_by_itself(self, target: ServerId | None, reason: str) -> None:
        """Pass the leadership on without being asked, at most once in a campaign timeout."""
        leadership = self.leadership
        is_too_soon = self.node.now_ms < self._automatic_hand_over_ms
        if leadership is None or self.hand_over is not None or is_too_soon:
            return
        try:
            progress = find_target(self.node, leadership, target)
        except TransferRefused:
            return
        settings = self.node.settings
        if not is_near(self.node, progress):
            return  # Nobody is in a hurry: it will be named again once it has caught up.
        timeout_ms = settings.campaign_timeout_ms
        self._automatic_hand_over_ms = self.node.now_ms + 2 * timeout_ms
        event = HandOverRequested(AUTOMATIC_REQUEST, progress.member.server_id, reason, timeout_ms)
        self._start_hand_over(leadership, event)

    def _take_order(self, sender: MemberKey, message: HandOver, reply_to: int) -> None:
        """A leader orders this node to take over."""
        order = message.order
        campaigns = self.campaign is not None and self.campaign.order == order
        obeys_already = campaigns or self._led_under == order
        reason = "" if obeys_already else self._why_not_take_over(sender, message)
        answer = HandOverAnswer(order.epoch, not reason, reason)
        self.node.outbox.send(sender.server_id, answer, reply_to)
        if not reason and not obeys_already:
            self._abdicate("it is ordered to lead")
            self._campaign(message.reason, order)

    def _why_not_take_over(self, sender: MemberKey, message: HandOver) -> str:
        order, promise = message.order, self.node.promise
        if order.target != self.node.key or order.leader != sender:
            return "the order is not for this server"
        if (order.epoch, order.leader) != (promise.epoch, promise.promised_to):
            return f"epoch {promise.epoch} is promised already"
        if not self.node.is_voter:
            return "it is not a voter"
        if self.node.paused:
            return "it is paused: resume it first"
        return "" if self.node.fit or message.forced else "it is not fit to lead"

    def _take_back(self, reason: str) -> None:
        """Nobody took the leadership that was given away: try to lead again."""
        if self.leadership is None and self.campaign is None and self.known_leader is None:
            self._campaign(reason, order=None)

    def _drop_ended_hand_over(self) -> None:
        if self.hand_over is not None and self.hand_over.stage is Stage.ENDED:
            self.hand_over = None

    # Who leads

    def _note_leader(self) -> None:
        """Notice when another member's leadership is established, or is over for this one."""
        contact = self.voter.live_contact()
        if self.leadership is not None:
            if self.is_established:
                self.known_leader = KnownLeader(self.node.key.server_id, self.leadership.epoch)
            else:
                self.known_leader = None
        elif contact is None:
            self._forget_leader()
        elif contact.established:
            self._know_leader(KnownLeader(contact.leader.server_id, contact.epoch))
        elif self.known_leader is not None and self.known_leader.epoch != contact.epoch:
            self._forget_leader()
        if self.hand_over is not None and self.known_leader is not None:
            self.hand_over.on_leader(self.known_leader.server_id, self.known_leader.epoch)
            self._drop_ended_hand_over()

    def _know_leader(self, leader: KnownLeader) -> None:
        if leader != self.known_leader:
            self.known_leader = leader
            reason = f"{leader.server_id} is established"
            self.node.outbox.notify(LeadershipChanged(leader.epoch, leader.server_id, reason))

    def _forget_leader(self) -> None:
        if self.known_leader is not None:
            ended, self.known_leader = self.known_leader, None
            reason = self.voter.why_left(ended.server_id, ended.epoch)
            self.node.outbox.notify(LeadershipChanged(ended.epoch, None, reason))
