"""Rules of the core, each broken on purpose in one way: the simulator has to notice every one.

A mutant patches the real classes for one test. Its docstring says what the broken core does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from conductor.core import (
    campaign,
    commit_rule,
    effects,
    hand_over,
    leadership,
    replication,
    requests,
)
from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.effects import CertifiedRaised, Truncate
from conductor.core.log import Log
from conductor.core.messages import (
    Acknowledged,
    Append,
    LogReport,
    PromiseGrant,
    PromiseRequest,
)
from conductor.core.node import Node
from conductor.core.outbox import Outbox
from conductor.core.values import (
    BlockReference,
    Entry,
    Head,
    Index,
    MemberKey,
    Membership,
    Position,
    Promise,
)
from conductor.core.voter import Voter
from conductor.errors import NotLeader, TransferRefused

Patch = pytest.MonkeyPatch
Action = Callable[[], None]


def _does_at_once(patch: Patch, is_meant: Callable[[Action], bool]) -> None:
    """Some of what should wait for the disk does not."""
    when_durable = Outbox.when_durable

    def impatient(self: Outbox, action: Action) -> None:
        if is_meant(action):
            action()
        else:
            when_durable(self, action)

    patch.setattr(Outbox, "when_durable", impatient)


def _is_named(name: str) -> Callable[[Action], bool]:
    return lambda action: getattr(getattr(action, "func", action), "__name__", "") == name


# Durable before it is said


def grants_before_sync(patch: Patch) -> None:
    """A promise is said before it is durable."""

    def is_grant(action: Action) -> bool:
        return isinstance(action, partial) and any(
            isinstance(argument, PromiseGrant) for argument in action.args
        )

    _does_at_once(patch, is_grant)


def asks_before_own_promise(patch: Patch) -> None:
    """A candidate asks for promises, and counts its own, before its own is durable."""
    _does_at_once(patch, _is_named("promised"))


def leads_before_adoption_is_durable(patch: Patch) -> None:
    """Leadership begins while the adopted log is still on its way to the disk."""
    _does_at_once(patch, _is_named("durable"))


def acknowledges_before_sync(patch: Patch) -> None:
    """An acknowledgement leaves while its write is under way."""
    _does_at_once(patch, _is_named("_acknowledge"))


def counts_own_unsynced_write(patch: Patch) -> None:
    """A leader counts itself before its own write is durable."""
    _does_at_once(patch, _is_named("_acknowledge_own"))


def follows_without_writing_promise(patch: Patch) -> None:
    """Following a leader of a higher epoch raises the promise in memory only."""
    raise_promise = Node.raise_promise

    def volatile(self: Node, epoch: Any, promised_to: MemberKey | None) -> None:
        if promised_to == self.key:
            raise_promise(self, epoch, promised_to)
        else:
            self.promise = Promise(epoch, promised_to)
            self.observe_epoch(epoch)

    request = Voter.on_promise_request

    def granting(self: Voter, sender: MemberKey, *arguments: Any) -> None:
        with pytest.MonkeyPatch.context() as undo:
            undo.setattr(Node, "raise_promise", raise_promise)
            request(self, sender, *arguments)

    patch.setattr(Node, "raise_promise", volatile)
    patch.setattr(Voter, "on_promise_request", granting)


def reports_ahead_of_queued_writes(patch: Patch) -> None:
    """A grant reports the log without what is still queued, and that is acknowledged later."""
    report, follows = Node.report, Voter._follows
    durable: WeakKeyDictionary[Outbox, LogReport] = WeakKeyDictionary()

    def stale_report(self: Node) -> LogReport:
        if self.outbox.is_idle() or self.outbox not in durable:
            durable[self.outbox] = report(self)
        return durable[self.outbox]

    def following(self: Voter, *arguments: Any) -> bool:
        self._node.report()
        return follows(self, *arguments)

    def acknowledge(
        self: Voter, leader: MemberKey, epoch: Any, sequence: int, covered: Position, reply_to: int
    ) -> None:
        if self._holds(covered):
            said = Acknowledgement(self._node.key, epoch, covered.index, covered.digest)
            message = Acknowledged(sequence, said)
            self._node.outbox.send(leader.server_id, message, reply_to)

    patch.setattr(Node, "report", stale_report)
    patch.setattr(Voter, "_follows", following)
    patch.setattr(Voter, "_acknowledge", acknowledge)


# Promises


def grants_equal_epochs(patch: Patch) -> None:
    """An epoch that is promised already is promised to the next candidate as well."""

    def may_promise(self: Voter, candidate: MemberKey, epoch: Any, nonce: int) -> bool:
        return bool(epoch >= self._node.promise.epoch)

    patch.setattr(Voter, "_may_promise", may_promise)


def reuses_epoch_after_restart(patch: Patch) -> None:
    """A restarted node campaigns again in the epoch that it promised itself."""

    def post_init(self: Node) -> None:
        object.__setattr__(self, "highest_epoch", max(0, self.promise.epoch - 1))

    patch.setattr(Node, "__post_init__", post_init)


def keeps_leading_after_promise(patch: Patch) -> None:
    """A promise to another does not end the own leadership."""
    request = Voter.on_promise_request

    def promising(self: Voter, sender: MemberKey, message: PromiseRequest, reply_to: int) -> None:
        abdicate = self._abdicate
        self._abdicate = lambda reason: None
        request(self, sender, message, reply_to)
        self._abdicate = abdicate

    def acknowledge_own(self: leadership.Leadership, position: Position) -> None:
        said = Acknowledgement(self._node.key, self.epoch, position.index, position.digest)
        self._node.outbox.send(self._node.key.server_id, Acknowledged(0, said))

    patch.setattr(Voter, "on_promise_request", promising)
    patch.setattr(leadership.Leadership, "_acknowledge_own", acknowledge_own)


def half_is_a_quorum(patch: Patch) -> None:
    """Half of the voters count as a quorum."""
    patch.setattr(Membership, "quorum", property(lambda self: (len(self.voters) + 1) // 2))


# Certificates


def certifies_old_epochs(patch: Patch) -> None:
    """Entries of older epochs are certified by counting."""

    def count(self: leadership.Leadership, acknowledgement: Acknowledgement) -> None:
        log = self._node.log
        entry = log.entry(acknowledgement.index)
        if entry is None or entry.index <= log.certified.index:
            return
        if entry.digest == acknowledgement.digest:
            found = self._acknowledgements.setdefault(entry.index, {})
            found[acknowledgement.member] = acknowledgement
            if log.membership.is_quorum(found.keys()):
                self._certify(Certificate.assemble(entry, found.values()))

    patch.setattr(leadership.Leadership, "count", count)


def mixes_epochs(patch: Patch) -> None:
    """Acknowledgements of different epochs are counted together."""
    certifies_old_epochs(patch)

    def on_acknowledged(
        self: leadership.Leadership, sender: MemberKey, message: Acknowledged
    ) -> None:
        said = message.acknowledgement
        self._note_contact(sender, message.sequence)
        if not self._node.log.matches(Position(said.index, said.epoch, said.digest)):
            return
        progress = self.replication.find(sender)
        if progress is not None:
            progress.landed(message.sequence, said.index)
        self.count(said)

    patch.setattr(leadership.Leadership, "on_acknowledged", on_acknowledged)


def believes_certified_indexes(patch: Patch) -> None:
    """An index is taken for certified before anyone has looked which entry is there."""
    on_append = Voter.on_append

    def raise_certified(self: Log, certificate: Certificate) -> None:
        position = self.position_at(certificate.index)
        assert position is not None
        self.certified, self.certificate = position, certificate

    def believing(self: Voter, sender: MemberKey, append: Append, reply_to: int) -> None:
        log, certificate = self._node.log, append.certificate
        if certificate and log.certified.index < certificate.index <= log.last.index:
            log.raise_certified(certificate)
            self._node.outbox.notify(CertifiedRaised(log.certified))
        on_append(self, sender, append, reply_to)

    patch.setattr(Voter, "on_append", believing)
    patch.setattr(Log, "raise_certified", raise_certified)


def acknowledges_more_than_was_checked(patch: Patch) -> None:
    """An acknowledgement speaks for the whole log, not for what the Append covers."""
    acknowledge = Voter._acknowledge

    def generous(
        self: Voter, leader: MemberKey, epoch: Any, sequence: int, covered: Position, reply_to: int
    ) -> None:
        acknowledge(self, leader, epoch, sequence, self._node.log.last, reply_to)

    patch.setattr(Voter, "_acknowledge", generous)


# Logs


def truncates_on_shorter_message(patch: Patch) -> None:
    """A message that covers less than the log cuts the rest off."""
    merge = Voter._merge

    def cutting(self: Voter, entries: tuple[Entry, ...]) -> None:
        merge(self, entries)
        log = self._node.log
        if entries and log.certified.index <= entries[-1].index < log.last.index:
            log.truncate(entries[-1].index)
            self._node.outbox.write(Truncate(entries[-1].index))

    patch.setattr(Voter, "_merge", cutting)


def adopts_the_longest(patch: Patch) -> None:
    """The best log is the longest one, of whatever epoch."""
    patch.setattr(Position, "rank", property(lambda self: (self.index, self.epoch)))


def drops_own_tail_before_adopting(patch: Patch) -> None:
    """A candidate cuts its log back to what is certified before it fetches."""
    adopt = campaign.Campaign._adopt

    def cutting(self: campaign.Campaign, source: MemberKey, best: LogReport) -> None:
        log = self._node.log
        if log.last.index > log.certified.index:
            log.truncate(log.certified.index)
            self._node.outbox.write(Truncate(log.certified.index))
        adopt(self, source, best)

    patch.setattr(campaign.Campaign, "_adopt", cutting)


def settles_for_second_best(patch: Patch) -> None:
    """When the best log is gone, the next best is taken with the same grants."""

    def source_lost(self: campaign.Campaign, member: MemberKey) -> None:
        if self._adoption is not None and self._adoption.source == member:
            self._adoption = None
            self._answers[member] = self._answers[self._node.key]
            self.deadline_ms = self._node.now_ms + self._node.settings.campaign_timeout_ms
            self._judge()

    patch.setattr(campaign.Campaign, "source_lost", source_lost)


# Requests


def lets_stale_sequencers_fork(patch: Patch) -> None:
    """A child of any certified payload is taken from the first moment of a leadership."""

    def judging(*arguments: Any, continuity_proven: bool) -> object:
        return commit_rule.judge(*arguments, continuity_proven=True)

    patch.setattr(leadership, "judge", judging)


def forgets_where_the_chain_was(patch: Patch) -> None:
    """An empty log takes any payload, though the cluster goes on from another's block."""

    def any_first(*_: Any) -> object:
        return commit_rule.Accepted(extends_last=True)

    patch.setattr(commit_rule, "_judge_first", any_first)


def reorganises_below_the_head(patch: Patch) -> None:
    """The first payload may be a sibling of the block that the cluster goes on from."""
    judge_first = commit_rule._judge_first

    def with_siblings(
        rule: str, head: Head | None, block: BlockReference, body_hash: bytes
    ) -> object:
        if head is not None and block.parent_hash == head.block.parent_hash:
            return commit_rule.Accepted(extends_last=True)
        return judge_first(rule, head, block, body_hash)

    patch.setattr(commit_rule, "_judge_first", with_siblings)


def answers_duplicates_at_once(patch: Patch) -> None:
    """A payload that is in the log already is a success, certified or not."""
    wait = requests.Commits.wait

    def waiting(self: requests.Commits, request_id: int, index: Index) -> None:
        entry, outbox = self._node.log.entry(index), self._node.outbox
        is_new = bool(outbox._operations)
        if entry is None or is_new:
            wait(self, request_id, index)
        else:
            outbox.notify(effects.CommitCertified(request_id, index, entry.epoch))

    patch.setattr(requests.Commits, "wait", waiting)


def calls_lost_commits_refused(patch: Patch) -> None:
    """A commit that was under way when the leadership ended is said never to have been."""
    patch.setattr(requests, "LeadershipLost", NotLeader)


def reads_without_quorum(patch: Patch) -> None:
    """A read is answered from what the leader knows, without asking anyone."""

    def add(self: requests.Reads, request_id: int, sequence: int) -> None:
        self._node.outbox.notify(effects.ReadReady(request_id, self._node.log.certified))

    patch.setattr(requests.Reads, "add", add)


def never_answers_lost_commits(patch: Patch) -> None:
    """Commits that were under way when the leadership ended hear nothing any more."""
    patch.setattr(requests.Commits, "lose", lambda self, reason: self._waiting.clear())


def answers_commits_twice(patch: Patch) -> None:
    """A commit that was certified is answered again when the leadership ends."""
    certified, lose = requests.Commits.certified, requests.Commits.lose
    answered: WeakKeyDictionary[requests.Commits, dict[Index, list[int]]] = WeakKeyDictionary()

    def certifying(self: requests.Commits) -> None:
        answered.setdefault(self, {}).update(self._waiting)
        certified(self)

    def losing(self: requests.Commits, reason: str) -> None:
        self._waiting.update(answered.get(self, {}))
        lose(self, reason)

    patch.setattr(requests.Commits, "certified", certifying)
    patch.setattr(requests.Commits, "lose", losing)


# Liveness


def never_sleeps(patch: Patch) -> None:
    """A leader whose disk is late wants to be woken for heartbeats that it does not send."""
    patch.setattr(replication.Replication, "skip_heartbeats", lambda self: None)


def gives_up_on_silent_members(patch: Patch) -> None:
    """What was sent and never answered is never sent again."""
    patch.setattr(replication.Replication, "restart_overdue", lambda self: None)


def ignores_grants(patch: Patch) -> None:
    """A candidate does not count the promises that it gets."""
    patch.setattr(campaign.Campaign, "on_grant", lambda self, sender, grant: None)


def calls_ordered_transfers_refused(patch: Patch) -> None:
    """A transfer is refused though the order to take over is under way."""
    patch.setattr(hand_over, "OutcomeUnknown", TransferRefused)
