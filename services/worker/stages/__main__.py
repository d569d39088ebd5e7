"""``python -m services.worker.stages SOCKET DIRECTORY INBOX OUTBOX ...``: by the worker."""

import sys

from services.worker.stages.process import serve
from shared.parent import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    serve(sys.argv[1:])
