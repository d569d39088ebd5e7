"""The pipeline document's claim: a graph that runs once beside one that runs at every step."""
