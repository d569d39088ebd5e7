"""Every server that can be compared, by the name that ``--peers`` takes."""

from benchmarks.peers.asgi_floor import AsgiFloor
from benchmarks.peers.bentoml import BENTOML
from benchmarks.peers.grpc_floor import GrpcFloor
from benchmarks.peers.kserve import KSERVE
from benchmarks.peers.litserve import LITSERVE
from benchmarks.peers.mindserve import Mindserve
from benchmarks.peers.mlserver import MLSERVER
from benchmarks.peers.mosec import MOSEC
from benchmarks.peers.peer import Peer
from benchmarks.peers.ray_serve import RAY_SERVE
from benchmarks.peers.row_floor import RowFloor
from benchmarks.peers.triton import Triton

_ALL: tuple[Peer, ...] = (
    Mindserve("mindserve", "native"),
    Mindserve("mindserve-grpcio", "grpcio"),
    Mindserve("mindserve-worker", "native", direct=True),
    Mindserve("mindserve-rest", "native", rest=True),
    GrpcFloor(),
    AsgiFloor(),
    Triton(),
    MOSEC,
    LITSERVE,
    KSERVE,
    MLSERVER,
    BENTOML,
    RAY_SERVE,
)
_ROWS = (RowFloor(3), RowFloor(4))
PEERS: dict[str, Peer] = {peer.name: peer for peer in (*_ALL, *_ROWS)}
USUAL = tuple(peer.name for peer in _ALL)
"""All but the rows, which say something of one caller alone."""
