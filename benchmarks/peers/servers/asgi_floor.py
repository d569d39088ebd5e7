"""``python -m benchmarks.peers.servers.asgi_floor PORT``."""

import base64
import sys
from typing import Any

import numpy as np
import orjson
import uvicorn

from benchmarks.peers.servers.bench_model import after, before, parse, run


def read(value: Any) -> np.ndarray:
    """The rows of one instance."""
    if isinstance(value, dict):
        return parse(base64.b64decode(value["b64"]))
    return np.asarray([value], np.float32)


async def predict(scope: Any, receive: Any, send: Any) -> None:
    """Every instance of the request in one call of the model."""
    message = await receive()
    body = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    rows = np.concatenate([read(each["x"]) for each in orjson.loads(body)["instances"]])
    answer = orjson.dumps(
        {"instances": [{"y": row} for row in np.ascontiguousarray(after(run(before(rows))))]},
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(answer)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(
        predict, host="127.0.0.1", port=int(sys.argv[1]), http="httptools", loop="uvloop",
        ws="none", lifespan="off", interface="asgi3", log_level="warning", access_log=False,
        timeout_keep_alive=75,
    )  # fmt: skip
