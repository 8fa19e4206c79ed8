"""What stands in $(( ))."""

import ast
import operator
import re
from collections.abc import Callable

from vmlab.build.shell.errors import Refused

_NAME = re.compile(r"\$?\b([A-Za-z_]\w*)")
_BINARY: dict[type[ast.AST], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_, ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt,
    ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_LONGEST = 200  # characters


def arithmetic(text: str, value: Callable[[str], str]) -> int:
    """Raises Refused for what is no plain sum of numbers and variables."""
    given = _NAME.sub(lambda found: f"({_number(value(found[1]))})", text)
    words = re.sub(r"!(?!=)", " not ", given.replace("&&", " and ").replace("||", " or "))
    if len(words) > _LONGEST:
        raise Refused(f"has a sum that is too long: $(({text}))")
    try:
        tree = ast.parse(words.replace("/", "//").strip() or "0", mode="eval").body
        return _evaluate(tree)
    except (SyntaxError, ZeroDivisionError, KeyError, TypeError, ValueError) as error:
        raise Refused(f"has a sum that is not read here: $(({text}))") from error


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"-?\d{1,9}", text) else 0


def _evaluate(node: ast.AST) -> int:
    if isinstance(node, ast.Constant):
        return int(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_evaluate(node.left), _evaluate(node.right))
    if isinstance(node, ast.Compare):
        right = node.comparators[0]
        return int(_BINARY[type(node.ops[0])](_evaluate(node.left), _evaluate(right)))
    if isinstance(node, ast.BoolOp):
        values = [bool(_evaluate(one)) for one in node.values]
        return int(all(values) if isinstance(node.op, ast.And) else any(values))
    if isinstance(node, ast.UnaryOp):
        inner = _evaluate(node.operand)
        return int(not inner) if isinstance(node.op, ast.Not) else -inner
    raise KeyError(type(node))
