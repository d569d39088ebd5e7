"""One level of the stack at a time, the others simulated: where the time of a step goes."""
