"""``python -m shared.wire.check ADDRESS [--service NAME]``: a health probe.

Ends with status 0 when the service at ADDRESS says that NAME serves, else 1.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from shared.deadline import Deadline
from shared.errors import ServingError
from shared.wire.grpcio import GrpcioWire
from shared.wire.health import CHECK_PATH, check_request, is_serving
from shared.wire.tls import ClientTls


async def check(
    address: str, name: str, timeout_seconds: float, tls: ClientTls | None = None
) -> bool:
    """Whether ``name`` ("": the process as a whole) serves; raises what kept it from telling."""
    deadline = Deadline.after(timeout_seconds, now=asyncio.get_running_loop().time())
    async with GrpcioWire().connect(address, tls=tls) as channel:
        return is_serving(await channel.call(CHECK_PATH, check_request(name), deadline=deadline))


async def serves(address: str, name: str = "", timeout_seconds: float = 3.0) -> bool:
    """Whether ``name`` serves at ``address``; no answer means no."""
    try:
        return await check(address, name, timeout_seconds)
    except ServingError:
        return False


def main() -> int:
    """Ask, print the answer, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m shared.wire.check", description=__doc__)
    parser.add_argument("address", help="HOST:PORT or unix:PATH")
    parser.add_argument(
        "--service", default="", help="a servable's name; default: the whole service"
    )
    parser.add_argument("--timeout-seconds", type=float, default=3.0)
    parser.add_argument("--tls-ca", type=Path, help="whom to trust (PEM); asks over TLS")
    parser.add_argument("--tls-certificate", type=Path, help="who asks (PEM)")
    parser.add_argument("--tls-key", type=Path, help="its key (PEM)")
    parser.add_argument("--tls-server-name", help="the name in the certificate, if not HOST")
    arguments = parser.parse_args()
    tls = ClientTls(
        arguments.tls_ca,
        arguments.tls_certificate,
        arguments.tls_key,
        arguments.tls_server_name,
    )
    try:
        serving = asyncio.run(
            check(
                arguments.address,
                arguments.service,
                arguments.timeout_seconds,
                None if tls == ClientTls() else tls,
            )
        )
    except (ServingError, OSError) as failure:
        print(f"{arguments.address}: {failure}", file=sys.stderr)
        return 1
    print("SERVING" if serving else "NOT_SERVING")
    return 0 if serving else 1


if __name__ == "__main__":
    sys.exit(main())
