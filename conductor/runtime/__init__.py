"""Where the pure core meets the world: events in, effects out, in order."""
