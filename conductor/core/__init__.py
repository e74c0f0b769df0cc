"""Who may lead, and what is certified: the whole of the replication protocol, and nothing else.

The law of this package: it performs no I/O, reads no clock, draws no random numbers and logs
nothing. `machine.Machine.step(event, now_ms)` is the one way in, its `Effects` the one way out; the
same events at the same times give the same effects. Roles change in `machine.py` only.
`docs/protocol.md` explains the rules; section numbers in comments are its own.
"""
