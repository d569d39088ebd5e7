"""The device process and the side of the agent that supervises it."""
