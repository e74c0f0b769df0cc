"""Judges of what a cluster did, outside the code under test: one module for each promise."""
