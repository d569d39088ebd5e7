"""Serves what the agents of start_agent.py have loaded, at SERVER_APP_HOST:SERVER_APP_PORT."""

from config.serving_config import ModelName

from mindspore_serving.server import server_app_post

if __name__ == "__main__":
    server_app_post.init_server_app()
    server_app_post.warmup_model(ModelName)
    server_app_post.run_server_app()
