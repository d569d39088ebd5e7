"""(pure) Between worker and stage process: what frames say, and which stage is meant."""

import struct
from typing import NamedTuple

from shared.servable import ServableVersion

# To the process.
LOAD = b"L"
"""Head: JSON with servable and version."""
FORGET = b"X"
"""Head: the same. Nothing is answered."""
RUN = b"R"
"""Head: JSON with servable, version, method, stage, where, memory and read_again; payload:
instances. The next one may come before the OVER of this one, with another memory."""
ANSWER = b"A"
"""Payload: outputs of each instance, or the text of a failure."""
# From it: for a LOAD one LOADED, for a RUN any number of OUTCOMES and ASKs, then one OVER.
LOADED = b"l"
"""Head: why it could not be loaded; empty when it was."""
OUTCOMES = b"O"
"""Payload: outcomes of the next instances, behind their outputs what was changed in place."""
ASK = b"Q"
"""Head: JSON with model and subgraph; payload: instances. The process waits for an ANSWER."""
OVER = b"V"
"""Nothing more comes of this RUN. Head: seconds that it took."""

SECONDS = struct.Struct("<d")
MEMORIES = 4
"""Of each process: one for the run it works on, the others for runs that wait there."""


class StagePlace(NamedTuple):
    """Which stage: what a process of its own needs to find the function."""

    what: ServableVersion
    method: str
    stage: int
    """Among the method's stages, from 0."""
