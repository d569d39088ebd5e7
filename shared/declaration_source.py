"""(pure) How many outputs a method's source gives each call of the interfaces before add_stage."""

import ast
from collections.abc import Collection, Mapping
from textwrap import dedent

_PLAIN = (ast.Assign, ast.AnnAssign, ast.Return, ast.Expr, ast.Pass)


class NotPlain(Exception):
    """The source holds more than one plain statement after the other."""


def outputs_by_call(
    source: str, interfaces: Collection[str], outputs_count: int
) -> Mapping[str, int]:
    """Outputs of each interface that a method calls, by the number of names it assigns them to.

    source: the text of one function. A call that is returned at once has ``outputs_count``.
    Raises NotPlain for loops, conditions and anything else that decides at run time.
    """
    try:
        (function,) = ast.parse(dedent(source)).body
    except (SyntaxError, ValueError):
        raise NotPlain from None
    if not isinstance(function, ast.FunctionDef):
        raise NotPlain
    counts: dict[str, int] = {}
    for statement in function.body:
        if not isinstance(statement, _PLAIN):
            raise NotPlain
        name = _called(getattr(statement, "value", None))
        if name in interfaces:
            counts[name] = _targets(statement, outputs_count)
    return counts


def _called(value: ast.expr | None) -> str:
    """The last name of what a value calls; empty when it is no call."""
    function = value.func if isinstance(value, ast.Call) else None
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _targets(statement: ast.stmt, outputs_count: int) -> int:
    if isinstance(statement, ast.Return):
        return outputs_count
    if not isinstance(statement, ast.Assign):
        return 1
    target = statement.targets[0]
    if not isinstance(target, ast.Tuple | ast.List):
        return 1
    if any(isinstance(each, ast.Starred) for each in target.elts):
        raise NotPlain
    return len(target.elts)
