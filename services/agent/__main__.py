"""``python -m services.agent``."""

from services.agent.app import open_agent
from services.agent.settings import AgentSettings
from shared.program import run_service

if __name__ == "__main__":
    run_service(AgentSettings, open_agent)
