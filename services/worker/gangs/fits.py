"""(pure) Whether the ranks of a gang fit together, and what they are as one model."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from services.worker.gangs.groups import Group, takes_inputs
from shared.errors import LoadFailed
from shared.membership import ModelSignature, SubgraphSignature
from shared.tensors import ANY_SIZE, TensorSpec


def signature_of(
    key: str, groups: Sequence[Group], ranks: Mapping[int, Sequence[ModelSignature]]
) -> ModelSignature:
    """What clients of a gang give and get: inputs of its first rank, outputs of its last.

    ``ranks`` has the models that each rank loaded. Raises LoadFailed naming rank and subgraph.
    """
    models = {rank: _only(rank, key, signatures) for rank, signatures in ranks.items()}
    first, last = models[groups[0].leader], models[groups[-1].ranks[-1]]
    for rank, model in models.items():
        if len(model.subgraphs) != len(first.subgraphs):
            raise LoadFailed(
                f"rank {rank} has {len(model.subgraphs)} subgraphs, rank 0 {len(first.subgraphs)}"
            )
        if model.batch_size not in (0, first.batch_size):
            raise LoadFailed(
                f"rank {rank} has batch size {model.batch_size}, rank 0 {first.batch_size}"
            )
    for number in range(len(first.subgraphs)):
        graphs = {rank: model.subgraphs[number] for rank, model in models.items()}
        for group in groups:
            _check_group(number, group, graphs)
        for before, after in pairwise(groups):
            _check_relay(number, before, after, graphs)
    subgraphs = tuple(
        SubgraphSignature(begin.inputs, end.outputs)
        for begin, end in zip(first.subgraphs, last.subgraphs, strict=True)
    )
    return ModelSignature(key, subgraphs, first.batch_size)


def _only(rank: int, key: str, signatures: Sequence[ModelSignature]) -> ModelSignature:
    for signature in signatures:
        if signature.key == key:
            return signature
    raise LoadFailed(f"rank {rank} did not load model '{key}'")


def _check_group(number: int, group: Group, graphs: Mapping[int, SubgraphSignature]) -> None:
    leader, last = group.leader, group.ranks[-1]
    if not graphs[leader].inputs:
        raise LoadFailed(f"subgraph {number} of rank {leader} has no inputs")
    if not graphs[last].outputs:
        raise LoadFailed(f"subgraph {number} of rank {last} has no outputs")
    size = len(group.ranks) // group.stages
    for rank in group.ranks:
        graph = graphs[rank]
        if takes_inputs(group, rank) or graph.inputs:
            _check_same("inputs", number, rank, graph.inputs, leader, graphs[leader].inputs)
        stage_leader = rank - (rank - group.ranks.start) % size
        _check_same(
            "outputs", number, rank, graph.outputs, stage_leader, graphs[stage_leader].outputs
        )


def _check_same(
    kind: str,
    number: int,
    rank: int,
    specs: Sequence[TensorSpec],
    other_rank: int,
    others: Sequence[TensorSpec],
) -> None:
    if _shapes(specs) != _shapes(others):
        raise LoadFailed(
            f"{kind} of subgraph {number} differ: rank {rank} has {_told(specs)},"
            f" rank {other_rank} {_told(others)}"
        )


def _check_relay(
    number: int, before: Group, after: Group, graphs: Mapping[int, SubgraphSignature]
) -> None:
    given, taken = graphs[before.ranks[-1]].outputs, graphs[after.leader].inputs
    fits = len(given) == len(taken) and all(map(_flows, given, taken))
    if not fits:
        raise LoadFailed(
            f"subgraph {number} of rank {after.leader} takes {_told(taken)}, but the stage before"
            f" it gives {_told(given)}"
        )


def _flows(given: TensorSpec, taken: TensorSpec) -> bool:
    """Whether an output may be that input; what files leave open shows at run time."""
    if given.element_type != taken.element_type or len(given.dims) != len(taken.dims):
        return False
    return all(a == b or ANY_SIZE in (a, b) for a, b in zip(given.dims, taken.dims, strict=True))


def _shapes(specs: Sequence[TensorSpec]) -> list[tuple[object, ...]]:
    return [(spec.element_type, *spec.dims) for spec in specs]


def _told(specs: Sequence[TensorSpec]) -> str:
    each = (f"{spec.element_type.name.lower()} {list(spec.dims)}" for spec in specs)
    return ", ".join(each) or "none"
