"""Whole clusters in one thread: the real core on simulated clocks, disks and networks.

A schedule is made from a seed alone, and the same seed gives the same schedule on every machine.
While it runs, checkers outside the core hold it to its promises; a failure names the one command
that replays it.
"""
