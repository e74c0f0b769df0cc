"""One attempt to lead: pre-promise, promise, adopt (rules 5.3.0 to 5.3.3).

Invariants: an epoch serves one campaign; the own promise is durable before anyone is asked;
leadership begins only with a durable log whose last digest is that of the best answer, held against
a quorum of the membership which that very log names.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from conductor.core.adoption import Adoption
from conductor.core.effects import CampaignEnded
from conductor.core.messages import (
    FetchAnswer,
    HandOverOrder,
    LogReport,
    PrePromiseAnswer,
    PrePromiseRequest,
    PromiseGrant,
    PromiseRefusal,
    PromiseRequest,
)
from conductor.core.node import EPOCH_MAX, Node
from conductor.core.values import Epoch, MemberKey
from conductor.core.voter import Voter
from conductor.errors import ensure


class Phase(enum.Enum):
    """How far the campaign has come."""

    PRE_PROMISE = "asks whether it would be promised to"
    PROMISE = "asks for promises"
    WON = "leads"
    ENDED = "has failed"


class Campaign:
    """The life of one campaign. `won` is called when the leadership begins."""

    def __init__(
        self,
        node: Node,
        voter: Voter,
        *,
        nonce: int,
        reason: str,
        order: HandOverOrder | None,
        won: Callable[[], None],
    ) -> None:
        self._node = node
        self._voter = voter
        self._nonce = nonce
        self.order = order
        self._won = won
        self._answers: dict[MemberKey, LogReport] = {}
        self._willing: set[MemberKey] = set()
        self._refusals: dict[MemberKey, str] = {}
        self._adoption: Adoption | None = None
        self._asked_ms = node.now_ms
        self.reason = reason
        self.epoch = Epoch(node.highest_epoch + 1)
        self.phase = Phase.PRE_PROMISE
        self.deadline_ms = node.now_ms + node.settings.campaign_timeout_ms

    def start(self) -> None:
        """Ask first whether promises would be given, or campaign at once under an order."""
        if not self._pick_epoch():
            return
        if self.order is not None:
            self._ask_for_promises()
            return
        self._answers[self._node.key] = self._node.report()
        self._willing.add(self._node.key)
        self._ask()
        self._judge()

    # Time

    @property
    def next_deadline_ms(self) -> int:
        """When this campaign wants to be looked at again."""
        return min(self.deadline_ms, self._asked_ms + self._resend_ms)

    @property
    def _resend_ms(self) -> int:
        """Asking whether one would be promised to changes nothing: it may be asked often."""
        settings = self._node.settings
        is_cheap = self.phase is Phase.PRE_PROMISE and self._adoption is None
        return settings.heartbeat_ms if is_cheap else max(1, settings.campaign_timeout_ms // 4)

    def on_time(self) -> None:
        """Ask again those who have not answered; give up at the deadline."""
        now_ms = self._node.now_ms
        if now_ms >= self.deadline_ms:
            if self._adoption is not None:
                self.source_lost(self._adoption.source)
            else:
                self.end(f"not enough answers in time{self._described_refusals()}")
        is_running = self.phase in (Phase.PRE_PROMISE, Phase.PROMISE)
        if is_running and now_ms >= self._asked_ms + self._resend_ms:
            self._asked_ms = now_ms
            if self._adoption is not None:
                self._adoption.ask()
            elif self.phase is Phase.PRE_PROMISE or self._node.key in self._answers:
                self._ask()

    # Asking

    def _ask(self) -> None:
        node = self._node
        self._asked_ms = node.now_ms
        is_binding = self.phase is Phase.PROMISE
        for member in node.others:
            if member.key in self._granted or (is_binding and member.key in self._refusals):
                continue
            request: PrePromiseRequest | PromiseRequest
            if self.phase is Phase.PRE_PROMISE:
                request = PrePromiseRequest(self.epoch, self._nonce)
            else:
                request = PromiseRequest(self.epoch, self._nonce, self.order)
            node.outbox.send(member.server_id, request)

    def _ask_for_promises(self) -> None:
        """Promise oneself a new epoch, durably; then ask everyone."""
        node = self._node
        if not self._pick_epoch():
            return
        self.phase = Phase.PROMISE
        self.deadline_ms = node.now_ms + node.settings.campaign_timeout_ms
        self._asked_ms = node.now_ms
        self._answers, self._refusals, self._adoption = {}, {}, None
        node.raise_promise(self.epoch, node.key)
        self._voter.note_own_promise(self.epoch, self._nonce)
        own_report = node.report()

        def promised() -> None:
            if self.phase is Phase.PROMISE:
                self._answers[node.key] = own_report
                self._ask()
                self._judge()

        node.outbox.when_durable(promised)

    def _pick_epoch(self) -> bool:
        """Take the epoch after the highest one seen; give up when the numbers are used up."""
        highest_epoch = self._node.highest_epoch
        if highest_epoch >= EPOCH_MAX:
            self.end(f"no epoch is left above {highest_epoch}")
            return False
        self.epoch = Epoch(highest_epoch + 1)
        return True

    # Answers

    def on_pre_promise_answer(self, sender: MemberKey, answer: PrePromiseAnswer) -> None:
        """Count who would promise."""
        self._node.observe_epoch(answer.promised_epoch)
        if self.phase is not Phase.PRE_PROMISE or answer.nonce != self._nonce:
            return
        self._answers[sender] = answer.report
        if answer.would_grant:
            self._willing.add(sender)
            self._refusals.pop(sender, None)
        else:
            self._willing.discard(sender)
            self._refusals[sender] = answer.reason
        self._judge()

    def on_grant(self, sender: MemberKey, grant: PromiseGrant) -> None:
        """Count a promise."""
        if self.phase is Phase.PROMISE and (grant.epoch, grant.nonce) == (self.epoch, self._nonce):
            self._answers[sender] = grant.report
            self._judge()

    def on_refusal(self, sender: MemberKey, refusal: PromiseRefusal) -> None:
        """Count a refusal; give up when no quorum is left."""
        self._node.observe_epoch(refusal.promised_epoch)
        asked = (self.epoch, self._nonce)
        if self.phase is Phase.PROMISE and (refusal.epoch, refusal.nonce) == asked:
            self._refusals[sender] = refusal.reason
            self._judge()

    def on_fetch_answer(self, sender: MemberKey, answer: FetchAnswer) -> None:
        """Take entries of the best log."""
        adoption = self._adoption
        if adoption is None or not adoption.expects(sender, answer.nonce):
            return
        if not adoption.take(answer):
            self.source_lost(sender)
        elif adoption.is_complete:
            self._adoption = None
            self._judge()
        else:
            self.deadline_ms = self._node.now_ms + self._node.settings.campaign_timeout_ms

    def source_lost(self, member: MemberKey) -> None:
        """The log that was being fetched is gone: judge the remaining answers afresh."""
        adoption = self._adoption
        if adoption is not None and adoption.source == member:
            self._adoption = None
            self._answers.pop(member, None)
            self._willing.discard(member)
            self._refusals[member] = "its log went away while it was fetched"
            self.deadline_ms = self._node.now_ms + self._node.settings.campaign_timeout_ms
            self._judge()

    # Judging

    @property
    def _granted(self) -> set[MemberKey]:
        """Who promised, or would."""
        return self._willing if self.phase is Phase.PRE_PROMISE else set(self._answers)

    def _judge(self) -> None:
        """Go on as far as the answers in hand allow."""
        node = self._node
        if self._adoption is not None or self.phase in (Phase.WON, Phase.ENDED):
            return
        if not node.is_voter:
            self.end("the best log does not list this server as a voter")
            return
        if node.key not in self._answers or not node.log.membership.is_quorum(self._granted):
            self._end_if_hopeless()
            return
        self._answers[node.key] = node.report()  # Something may have been fetched since.
        source, best = self._best()
        if best.last.rank > node.log.last.rank:
            self._adopt(source, best)
        elif self.phase is Phase.PRE_PROMISE:
            self._ask_for_promises()
        else:
            self._win_when_durable(best)

    def _end_if_hopeless(self) -> None:
        """Refused promises are final; a pre-promise is asked for until the deadline."""
        membership = self._node.log.membership
        lost = {key.server_id for key in self._refusals} | self._node.dead_peers
        possible = [voter for voter in membership.voters if voter.server_id not in lost]
        if self.phase is Phase.PROMISE and len(possible) < membership.quorum:
            self.end(f"no quorum would promise{self._described_refusals()}")

    def _best(self) -> tuple[MemberKey, LogReport]:
        """The best log among all answers: newest epoch, then longest (rule 5.3.3)."""
        source = max(self._answers, key=lambda key: (self._answers[key].last.rank, key))
        best = self._answers[source]
        for key, report in self._answers.items():
            is_equal = report.last.rank == best.last.rank
            ensure(
                not is_equal or report.last.digest == best.last.digest,
                f"{key.server_id} and {source.server_id} hold different logs of equal rank",
            )
        return source, best

    def _adopt(self, source: MemberKey, best: LogReport) -> None:
        self._adoption = Adoption(self._node, self._voter, source, best.last, self._nonce)
        self.deadline_ms = self._node.now_ms + self._node.settings.campaign_timeout_ms
        self._asked_ms = self._node.now_ms
        self._adoption.ask()

    def _win_when_durable(self, best: LogReport) -> None:
        node = self._node
        ensure(node.log.last == best.last, "the adopted log is not the best one")

        def durable() -> None:
            still_ours = (node.promise.epoch, node.promise.promised_to) == (self.epoch, node.key)
            is_best = self._adoption is None and node.log.last == best.last
            if self.phase is Phase.PROMISE and still_ours and is_best:
                self.phase = Phase.WON
                self._won()

        node.outbox.when_durable(durable)

    def end(self, reason: str) -> None:
        """Give up, and say why."""
        if self.phase in (Phase.PRE_PROMISE, Phase.PROMISE):
            self.phase = Phase.ENDED
            self._voter.forget_grant_to(self._node.key)
            self._node.outbox.notify(CampaignEnded(self.epoch, reason))

    def _described_refusals(self) -> str:
        if not self._refusals:
            return ""
        parts = (f"{key.server_id}: {why}" for key, why in sorted(self._refusals.items()))
        return " (" + "; ".join(parts) + ")"
