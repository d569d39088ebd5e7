"""(pure) Between agent and device process: what frames say.

Batches and their replies pass as the worker wrote them and as it will read them.
"""

import struct

# To the device process.
LOAD = b"L"
"""Head: JSON with device and models."""
EXECUTE = b"E"
"""Head: an ExecuteHead; payload: an ExecuteRequest, or a Step for a language model."""
# From it: any number of PROGRESS, then one of the others.
PROGRESS = b"P"
"""Head: text."""
LOADED = b"R"
"""Head: JSON with the models' signatures."""
DONE = b"D"
"""Head: seconds that the backend took; payload: an ExecuteReply, or a StepOutcome."""
FAILED = b"F"
"""Head: JSON with an error's name and message."""
SKIPPED = b"S"
"""The batch was withdrawn before it began."""

SECONDS = struct.Struct("<d")
