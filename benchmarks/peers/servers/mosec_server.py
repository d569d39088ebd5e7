"""``python mosec_server.py --address HOST --port PORT``: raw bytes in, raw bytes out."""

import numpy as np
from bench_model import WORK, after, before, parse, run, run_batch
from mosec import Server, Worker


class Single(Worker):
    """One request a call."""

    def deserialize(self, data: bytes) -> np.ndarray:
        return parse(data)

    def serialize(self, data: np.ndarray) -> bytes:
        return data.tobytes()

    def forward(self, data: np.ndarray) -> np.ndarray:
        return run(data)


class Before(Single):
    """The stage that reads requests."""

    def forward(self, data: np.ndarray) -> np.ndarray:
        return before(data)


class After(Single):
    """The stage that writes answers."""

    def forward(self, data: np.ndarray) -> np.ndarray:
        return after(data)


class Batched(Single):
    """A list of requests a call."""

    def forward(self, data: list[np.ndarray]) -> list[np.ndarray]:
        return run_batch(data)


if __name__ == "__main__":
    server = Server()
    if WORK["max_batch"]:
        server.append_worker(Batched, max_batch_size=WORK["max_batch"], max_wait_time=2)
    elif WORK["staged"]:
        for each in (Before, Single, After):
            server.append_worker(each)
    else:
        server.append_worker(Single)
    server.run()
