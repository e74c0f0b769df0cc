"""What to do about leadership and the sequencer, as decisions that can be read off a table.

The law of this package: values in, one decision out. It performs no I/O, reads no clock and knows
nothing of the protocol: servers are names, times are milliseconds that the caller hands in.
"""
