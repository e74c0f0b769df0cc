"""Sequencer high availability for OP Stack chains."""

__version__ = "0.1.0"
