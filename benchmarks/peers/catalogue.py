"""Every server that can be compared, by the name that ``--peers`` takes."""

from benchmarks.peers.grpc_floor import GrpcFloor
from benchmarks.peers.litserve import LITSERVE
from benchmarks.peers.mindserve import Mindserve
from benchmarks.peers.mosec import MOSEC
from benchmarks.peers.peer import Peer
from benchmarks.peers.triton import Triton

PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (Mindserve(), GrpcFloor(), Triton(), MOSEC, LITSERVE)
}
