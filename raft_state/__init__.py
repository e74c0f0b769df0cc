"""HashiCorp Raft state directories of Go op-conductors: made, read, checked, saved and put back.

Law of this package: what is on disk is never trusted and never changed in place. Reading opens
files read-only; writing makes whole new files that appear under their name only when they are
durable.
"""
