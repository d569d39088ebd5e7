"""How Mindserve's cost grows: with callers, workers, payload, idle connections and time."""
