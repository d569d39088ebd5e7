"""Figures that tests change one of."""

from typing import Any

from benchmarks.figures import OpenSample, Sample


def sample(**changed: Any) -> Sample:
    given: dict[str, Any] = {
        "work": "a", "server": "one", "connections": 1, "in_flight": 1, "round": 1,
        "requests": 10, "errors": 0,
        "seconds": 1.0, "cpu_us": 100.0, "per_second": 10.0, "p50_ms": 1.0, "p99_ms": 2.0,
        "pss_mb": 50.0, "rss_mb": 60.0, "others_cores": 0.0,
    }  # fmt: skip
    return Sample(**{**given, **changed})


def opened(**changed: Any) -> OpenSample:
    given: dict[str, Any] = {
        "work": "a", "server": "one", "rate": 100.0, "round": 1, "requests": 10, "errors": 0,
        "p50_ms": 1.0, "p99_ms": 2.0, "late_p99_ms": 0.1, "cpu_us": 100.0, "others_cores": 0.0,
    }  # fmt: skip
    return OpenSample(**{**given, **changed})
