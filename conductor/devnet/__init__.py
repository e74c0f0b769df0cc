"""A cluster on this machine: real conductors, simulated sequencers, and a judge of its own.

Law of this package: what it says about lost and forked payloads, it did not hear from a
conductor. It writes down every commit that a sequencer was told had succeeded, and afterwards
holds that journal against what is on the disks, trusting nothing but the keys that it handed out
itself.
"""
