"""`python -m conductor` is `op-conductor`."""

from __future__ import annotations

from conductor.cli.main import main

if __name__ == "__main__":
    main()
