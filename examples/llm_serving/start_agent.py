"""Starts the agents of the language model of config/serving_config.py, and waits for them."""

from multiprocessing import Queue

from config.serving_config import AgentConfig

from mindspore_serving.agent.agent_multi_post_method import startup_agents

if __name__ == "__main__":
    startup_queue = Queue(1024)
    startup_agents(AgentConfig.ctx_setting,
                   AgentConfig.inc_setting,
                   AgentConfig.post_model_setting,
                   len(AgentConfig.AgentPorts),
                   AgentConfig.prefill_model,
                   AgentConfig.decode_model,
                   AgentConfig.argmax_model,
                   AgentConfig.topk_model,
                   startup_queue)  # fmt: skip

    started_agents = 0
    while True:
        value = startup_queue.get()
        print("agent : %f started" % value)  # noqa: UP031 (as the original's script)
        started_agents = started_agents + 1
        if started_agents >= len(AgentConfig.AgentPorts):
            print("all agents started", flush=True)
            break
