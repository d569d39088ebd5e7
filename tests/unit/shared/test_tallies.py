"""Counters and histograms of one thread show what the library's own would."""

import prometheus_client as library
from prometheus_client import CollectorRegistry, generate_latest

from shared.tallies import Counters, Histograms

BUCKETS = (0.5, 1, 2.5)


def shown(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    # When a member began is told by the library alone.
    return [line for line in lines if "_created" not in line]


def test_a_histogram_shows_what_the_librarys_own_shows():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Histograms("seconds", "Time.", ["stage"], buckets=BUCKETS, registry=ours)
    own = library.Histogram("seconds", "Time.", ["stage"], buckets=BUCKETS, registry=theirs)
    for stage, amount in (("a", 0.0), ("a", 0.5), ("b", 0.500001), ("a", 1), ("b", 2.5), ("b", 9)):
        mine.of(stage).observe(amount)
        own.labels(stage).observe(amount)
    assert shown(ours) == shown(theirs)


def test_a_counter_shows_what_the_librarys_own_shows():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Counters("requests", "Requests.", ["servable", "version"], registry=ours)
    own = library.Counter("requests", "Requests.", ["servable", "version"], registry=theirs)
    for version in (1, 2, 1):
        mine.of("toy", version).inc()
        own.labels("toy", version).inc()
    assert shown(ours) == shown(theirs)


def test_a_histogram_without_labels_is_shown_before_anything_is_observed():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    Histograms("rows", "Rows.", buckets=BUCKETS, registry=ours).of()
    library.Histogram("rows", "Rows.", buckets=BUCKETS, registry=theirs)
    assert shown(ours) == shown(theirs)
