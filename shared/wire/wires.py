"""The wires there are, by the names that settings give them."""

from typing import Literal

from shared.wire.interface import Wire
from shared.wire.native import NativeWire

WireName = Literal["native", "grpcio"]


def wire_named(name: WireName) -> Wire:
    """``native``: ours. ``grpcio``: gRPC's own library, at several times the cost per call."""
    if name == "native":
        return NativeWire()
    # Here, so that services on our own wire do without grpcio's 12 MB.
    from shared.wire.grpcio import GrpcioWire  # noqa: PLC0415 (see above)

    return GrpcioWire()
