"""Who shares a batch, and when it goes to an agent."""
