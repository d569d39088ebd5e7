"""``python -m services.master``."""

from services.master.app import open_master
from services.master.settings import MasterSettings
from shared.program import run_service

if __name__ == "__main__":
    run_service(MasterSettings, open_master)
