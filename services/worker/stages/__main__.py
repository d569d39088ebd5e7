"""``python -m services.worker.stages SOCKET INBOX OUTBOX DIRECTORY``: started by the worker."""

import ctypes
import signal
import sys

from services.worker.stages.process import serve

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.argv[1:])
