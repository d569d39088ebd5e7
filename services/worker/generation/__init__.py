"""How many texts are continued at once: sequences, the blocks they take, who is computed when."""
