"""Has the model continue a prompt, at once and token by token."""

import argparse

from mindspore_serving.client import MindsporeInferenceClient

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", default="http://127.0.0.1:9811")
    client = MindsporeInferenceClient(model_type="llama2", server_url=parser.parse_args().server)

    print(client.generate("The module provides", max_new_tokens=24).generated_text)
    print("---")
    for response in client.generate_stream(
        "Return a new string", do_sample=False, max_new_tokens=24, return_full_text=False
    ):
        print(response.token.text, end="", flush=True)
    print()
