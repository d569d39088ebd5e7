"""The wires there are, by the names that settings give them."""

from typing import Literal

from shared.wire.grpcio import GrpcioWire
from shared.wire.interface import Wire
from shared.wire.native import NativeWire

WireName = Literal["native", "grpcio"]


def wire_named(name: WireName) -> Wire:
    """``native``: ours. ``grpcio``: gRPC's own library, at several times the cost per call."""
    return NativeWire() if name == "native" else GrpcioWire()
