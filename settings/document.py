"""Reads YAML that people wrote: whatever is wrong with it is a yaml.YAMLError, with the line and the column."""

from __future__ import annotations

import yaml

# More than any settings have, with every alias counted as what it stands for: it is copied wherever it stands.
_NODES = 100_000
_LEVELS = 100
# Far below the longest number that Python writes as text, of 4300 digits.
_BITS = 1024


class _Loader(yaml.SafeLoader):
    """Says of everything that it cannot read where that stands, and ends with what has no end."""

    _levels = 0

    def get_mark(self) -> yaml.Mark:
        # Without the text around it, which may be a secret.
        return yaml.Mark(self.name, self.index, self.line, self.column, None, 0)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._levels += 1
        if self._levels > _LEVELS:
            raise _error(f"expected at most {_LEVELS} levels", self.get_mark())
        node: yaml.Node | None = super().compose_node(parent, index)
        self._levels -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            value: object = super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            # A date of a month 13, a number of 5000 digits, !!int without one: what Python says of it has no place.
            kind = node.tag.rpartition(":")[2]
            raise _error(f"expected YAML's {kind}, or quotes around what is text", node.start_mark) from None
        if isinstance(value, int) and value.bit_length() > _BITS:
            raise _error("expected a number of fewer digits", node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        found: dict[object, object] = super().construct_mapping(node, deep)
        if not all(isinstance(key, str | int | float | None) for key in found):
            raise _error("expected keys that are text: a date needs quotes", node.start_mark)
        return found


def read(text: str, name: str) -> object:
    """What `yaml.safe_load` reads. Raises yaml.YAMLError, for a key that stands twice as well. name: of the file."""
    loader = _Loader(text)
    loader.name = name
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _each_once(node)
        _weight(node, {}, set())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def too_deep(tree: object) -> bool:
    """Whether lists and mappings have more levels than any settings, so that nothing should go down into them."""
    level = [tree]
    for _ in range(_LEVELS):
        inner = [value for value in level if isinstance(value, dict | list)]
        level = [one for value in inner for one in (value.values() if isinstance(value, dict) else value)]
        if not level:
            return False
    return True


def _error(problem: str, mark: yaml.Mark | None) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=mark)


def _each_once(root: yaml.Node) -> None:
    """Refuses a key that stands twice, of which the last would hide the others, as Pulumi's own reader does.

    Raises yaml.YAMLError. What is merged into a mapping is none of its keys.
    """
    nodes, seen = [root], set[int]()
    while nodes:
        node = nodes.pop()
        # An anchor stands in several places.
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = set[tuple[str, str]]()
            for key, value in node.value:
                nodes.append(value)
                if isinstance(key, yaml.ScalarNode):
                    if (key.tag, key.value) in keys:
                        raise _error(f"the key {key.value[:100]} stands twice", key.start_mark)
                    keys.add((key.tag, key.value))


def _weight(node: yaml.Node, known: dict[int, tuple[int, int]], above: set[int]) -> tuple[int, int]:
    """How many nodes and levels this one stands for, with every alias written out.

    known: the nodes that are counted already; above: those that this one is in. Raises yaml.YAMLError for one that is
    in itself, and for more than is read: aliases of aliases multiply, so a few lines can stand for more than there is.
    """
    if id(node) in above:
        raise _error("expected no alias of what it stands in", node.start_mark)
    if id(node) not in known:
        above.add(id(node))
        inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else []
        inner += node.value if isinstance(node, yaml.SequenceNode) else []
        weights = [_weight(one, known, above) for one in inner]
        nodes = 1 + sum(count for count, _ in weights)
        levels = 1 + max((level for _, level in weights), default=0)
        if nodes > _NODES:
            raise _error(f"expected at most {_NODES} values, with every alias written out", node.start_mark)
        if levels > _LEVELS:
            raise _error(f"expected at most {_LEVELS} levels, with every alias written out", node.start_mark)
        above.remove(id(node))
        known[id(node)] = (nodes, levels)
    return known[id(node)]
