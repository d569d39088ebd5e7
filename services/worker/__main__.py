"""``python -m services.worker``."""

import os
import sys

from services.worker.app import open_worker
from services.worker.settings import WorkerSettings
from shared.program import run_service

if __name__ == "__main__":
    run_service(WorkerSettings, open_worker)
    # A stage function that never returns would hold the interpreter's own exit.
    sys.stdout.flush()
    os._exit(0)
