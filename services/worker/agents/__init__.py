"""The agents of this worker: what they hold, who is idle, how a batch gets there."""
