"""``python -m services.agent.collective SOCKET``: MindSpore's scheduler, started by an agent.

Where it listens and for how many ranks stands in its environment. It lives until the agent ends
it; what keeps it from that is told on the socket.
"""

import os
import socket
import sys

from shared.parent import end_with_parent


def main() -> None:
    """Have ranks meet here."""
    end_with_parent()
    agent = socket.socket(fileno=int(sys.argv[1]))
    try:
        _serve()
    except ImportError:
        agent.sendall(b"MindSpore is not installed here: pip install mindserve[mindspore]")
    except Exception as failure:
        agent.sendall((str(failure).strip() or type(failure).__name__).splitlines()[0].encode())
    else:
        # Returned as soon as all ranks are there; MindSpore's threads look after them now.
        agent.recv(1)
    # MindSpore waits for ranks that are gone in its own clean-up: leave without it.
    os._exit(1)


def _serve() -> None:
    import mindspore  # noqa: PLC0415 (takes seconds, during which the agent may end this)
    from mindspore.communication import init  # noqa: PLC0415

    mindspore.set_device("CPU")
    init()


if __name__ == "__main__":
    main()
