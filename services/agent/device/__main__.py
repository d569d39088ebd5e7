"""``python -m services.agent.device SOCKET PAGE FOLDER``: started by the agent, never by hand."""

import importlib
import os
import socket
import sys

from services.agent.device.priority import behind_others
from shared.parent import end_with_parent


def main() -> None:
    """Serve the agent on the socket it passed, with the page of its withdrawals, in FOLDER."""
    end_with_parent()
    os.chdir(sys.argv[3])
    process = behind_others(importlib.import_module, "services.agent.device.process")
    process.serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
    # MindSpore may crash in its own clean-up: leave without it.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
