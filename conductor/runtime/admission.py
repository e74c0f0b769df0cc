"""What is checked of a message before the core hears of it: signatures, and memberships that
travel.

Invariant: an acknowledgement, a certificate or an order that reaches the core was signed by the
member that it names, in the incarnation that the membership names. What does not fit is dropped,
never trusted. What was found true a moment ago is not checked again: a member that has nothing new
repeats its last acknowledgement at every heartbeat.
"""

from __future__ import annotations

from conductor.core.certificate import Acknowledgement, Certificate, VerifySignature
from conductor.core.machine import Machine
from conductor.core.messages import (
    Acknowledged,
    Append,
    FetchAnswer,
    HandOver,
    HandOverOrder,
    InstallBase,
    Message,
    PromiseRequest,
)
from conductor.core.values import Base, MemberKey, Membership, ServerId
from conductor.errors import InvalidArgument, Unauthenticated


class Admission:
    """The gate in front of one machine."""

    def __init__(self, machine: Machine, verify: VerifySignature) -> None:
        self._node = machine.node
        self._verify = verify
        self._admitted: dict[ServerId, tuple[Acknowledgement, Membership]] = {}
        """The newest acknowledgement of each member, and the membership that named its key."""

    def check(self, sender: MemberKey, message: Message) -> None:
        """Raise InvalidArgument or Unauthenticated for what must not reach the core."""
        match message:
            case Acknowledged(_, acknowledgement):
                if acknowledgement.member != sender:
                    raise Unauthenticated(f"{sender.server_id} passes on another's word")
                self._check_acknowledgement(acknowledgement)
            case Append():
                self._check_certificate(message.certificate)
            case InstallBase():
                self._check_base(message.base)
                self._check_certificate(message.certificate)
            case FetchAnswer():
                if message.base is not None:
                    self._check_base(message.base)
                self._check_certificate(message.certificate)
            case HandOver():
                self._check_order(message.order)
            case PromiseRequest() if message.order is not None:
                self._check_order(message.order)

    def _check_acknowledgement(self, acknowledgement: Acknowledgement) -> None:
        membership, server_id = self._node.log.membership, acknowledgement.member.server_id
        admitted = self._admitted.get(server_id)
        if admitted is not None and admitted[1] is membership and admitted[0] == acknowledgement:
            return
        acknowledgement.check(self._node.cluster_id, membership, self._verify)
        self._admitted[server_id] = (acknowledgement, membership)

    def _check_certificate(self, certificate: Certificate | None) -> None:
        """Only a certificate that would raise our certified index is ever used, and so checked."""
        if certificate is not None and certificate.index > self._node.log.certified.index:
            certificate.check(self._node.cluster_id, self._node.log.membership, self._verify)

    def _check_base(self, base: Base) -> None:
        if base.membership != self._node.log.membership:
            raise InvalidArgument("the base names another membership than ours")

    def _check_order(self, order: HandOverOrder) -> None:
        leader = self._node.log.membership.member(order.leader.server_id)
        if leader is None or leader.key != order.leader:
            raise Unauthenticated(f"{order.leader.server_id} is no member in this incarnation")
        if not self._verify(leader.public_key, order.message(), order.signature):
            raise Unauthenticated(f"the signature of {order.leader.server_id} does not fit")
