"""Runs servables: batching queues, stage graphs, Python stages; owns its agents."""
