"""Every server that can be compared, by the name that ``--peers`` takes."""

from benchmarks.peers.grpc_floor import GrpcFloor
from benchmarks.peers.mindserve import Mindserve
from benchmarks.peers.peer import Peer

PEERS: dict[str, Peer] = {peer.name: peer for peer in (Mindserve(), GrpcFloor())}
