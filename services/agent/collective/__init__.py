"""How the ranks of a distributed model meet: their environment, and MindSpore's scheduler."""
