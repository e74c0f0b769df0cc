"""A network that loses, repeats, delays and reorders messages, and can be cut one way or both.

Two kinds of links. A *datagram* link loses single messages and lets later ones overtake: more
than real streams ever do, and safety must hold all the same. A *stream* keeps the order of the
messages of the server that opened it, and of the answers that come back on it; what would have been
lost breaks it, with all that was on its way, and it is opened again a little later.

An order to take the leadership over never arrives twice, nor its answer: it goes out as a call of
its own, and who repeats it counts that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from random import Random

from conductor.core.messages import HandOver, HandOverAnswer, Message
from conductor.core.values import ServerId
from conductor.simulation.scheduler import Scheduler

Link = tuple[ServerId, ServerId]
"""From, to."""


@dataclass(frozen=True, slots=True)
class NetworkRates:
    """How bad the network is. Rates are probabilities for each message."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay_ms_max: int = 3
    straggle: float = 0.0
    """How many messages take up to `straggle_ms_max` instead."""
    straggle_ms_max: int = 0
    streams: bool = False
    reconnect_ms: int = 20


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message on its way."""

    sender: ServerId
    to: ServerId
    message: Message
    reply_to: int


@dataclass(slots=True)
class _Stream:
    generation: int = 0
    """Counts how often it broke: what was sent before is lost."""
    open: bool = True
    messages_until_ms: int = 0
    """When the newest message on it arrives: none arrives earlier."""
    answers_until_ms: int = 0
    """The same for the answers, which come back on it."""


class Network:
    """Carries envelopes. `deliver` takes what arrives; `stream_changed` hears of streams that
    break (False) and open (True); `is_up` says whether a server could take one."""

    def __init__(
        self,
        scheduler: Scheduler,
        random: Random,
        rates: NetworkRates,
        *,
        deliver: Callable[[Envelope], None],
        stream_changed: Callable[[Link, bool], None],
        is_up: Callable[[ServerId], bool],
    ) -> None:
        self._scheduler = scheduler
        self._random = random
        self._deliver = deliver
        self._stream_changed = stream_changed
        self._is_up = is_up
        self._streams: dict[Link, _Stream] = {}
        self._calls: dict[int, int] = {}
        """The generation of the stream on which a call came."""
        self.rates = rates
        self.cuts: set[Link] = set()
        self.lets_pass: Callable[[Envelope], bool] = lambda envelope: True
        """For scripted faults: what it is not true for never arrives."""

    # Cuts

    def cut(self, links: Iterable[Link]) -> None:
        """Nothing passes these links from now on, in their direction."""
        self.cuts.update(links)

    def heal(self) -> None:
        """Every link works again."""
        self.cuts.clear()

    def isolate(self, group: Iterable[ServerId], everyone: Iterable[ServerId]) -> None:
        """Cut all links between a group and the others, both ways."""
        inside, others = set(group), set(everyone)
        self.cut(
            (here, there)
            for here in sorted(others)
            for there in sorted(others)
            if (here in inside) != (there in inside)
        )

    # Messages

    def send(self, envelope: Envelope) -> None:
        """Take a message; it arrives later, never, or more than once."""
        if self.rates.streams:
            self._send_on_stream(envelope)
            return
        rates, chance = self.rates, self._random.random
        is_doubled = bool(rates.duplicate) and chance() < rates.duplicate
        if is_doubled and not isinstance(envelope.message, HandOver | HandOverAnswer):
            self._scheduler.after(self._delay_ms(), partial(self._arrive, envelope))
        if not rates.loss or chance() >= rates.loss:
            self._scheduler.after(self._delay_ms(), partial(self._arrive, envelope))

    def _delay_ms(self) -> int:
        rates = self.rates
        if rates.straggle and self._random.random() < rates.straggle:
            return int(self._random.random() * (rates.straggle_ms_max + 1))
        return int(self._random.random() * (rates.delay_ms_max + 1))

    def _arrive(self, envelope: Envelope) -> None:
        if (envelope.sender, envelope.to) not in self.cuts and self.lets_pass(envelope):
            self._deliver(envelope)

    # Streams

    def called(self, call: int, caller: ServerId, server_id: ServerId) -> None:
        """A message arrived that may be answered as `call`: on the stream that brought it."""
        if self.rates.streams:
            self._calls[call] = self._stream((caller, server_id)).generation

    def _stream(self, link: Link) -> _Stream:
        return self._streams.setdefault(link, _Stream())

    def _send_on_stream(self, envelope: Envelope) -> None:
        sender, to, reply_to = envelope.sender, envelope.to, envelope.reply_to
        link = (to, sender) if reply_to else (sender, to)
        stream = self._stream(link)
        if not stream.open:
            return
        if reply_to and self._calls.pop(reply_to, None) != stream.generation:
            return
        if self.rates.loss and self._random.random() < self.rates.loss:
            self.break_stream(link)
            return
        queue_ms = stream.answers_until_ms if reply_to else stream.messages_until_ms
        arrival_ms = max(self._scheduler.now_ms + self._delay_ms(), queue_ms)
        if reply_to:
            stream.answers_until_ms = arrival_ms
        else:
            stream.messages_until_ms = arrival_ms
        arrive = partial(self._arrive_on_stream, envelope, link, stream.generation)
        self._scheduler.at(arrival_ms, arrive)

    def _arrive_on_stream(self, envelope: Envelope, link: Link, generation: int) -> None:
        if self._stream(link).generation != generation:
            return
        if (envelope.sender, envelope.to) in self.cuts:
            self.break_stream(link)
        elif self.lets_pass(envelope):
            self._deliver(envelope)

    def break_stream(self, link: Link) -> None:
        """Lose everything on its way there and back; it opens again when both links work."""
        stream = self._stream(link)
        stream.generation += 1
        if stream.open:
            stream.open = False
            stream.messages_until_ms = stream.answers_until_ms = 0
            self._stream_changed(link, False)
            self._scheduler.after(self.rates.reconnect_ms, partial(self._reopen, link))

    def _reopen(self, link: Link) -> None:
        is_cut = link in self.cuts or (link[1], link[0]) in self.cuts
        if is_cut or not all(map(self._is_up, link)):
            self._scheduler.after(self.rates.reconnect_ms, partial(self._reopen, link))
            return
        self._streams[link].open = True
        self._stream_changed(link, True)
