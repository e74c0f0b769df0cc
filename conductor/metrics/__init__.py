"""What operators measure a node by, in the formats of Prometheus.

Invariant: nothing here can fail or hold up the node. What happens is counted where it happens, in
microseconds (`instruments`); how things stand is asked when someone looks (`state`).
"""

from conductor.metrics.instruments import Instruments
from conductor.metrics.scrape import Metrics, Sources
from conductor.metrics.timed_store import TimedStore

__all__ = ["Instruments", "Metrics", "Sources", "TimedStore"]
