"""Reads YAML text into plain values that remember their lines; knows nothing of policies.

Only the core of YAML is accepted: `true` and `false` are the booleans, so that Norway's `NO` is never
read as false; keys may not repeat, and anchors may not be used, since both hide what a file says.
"""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import yaml

from consent_gateway.policy.findings import Finding

Place = tuple[str | int, ...]
"""Where a value stands in a document: keys and list positions from its root."""

_AMBIGUOUS = re.compile(r"^(?:y|n|yes|no|on|off)$", re.IGNORECASE)


class _CoreLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # the C loader where libyaml is there
    """The safe loader without YAML 1.1's yes, no, on and off."""


_CoreLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_CoreLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file: its plain value, and the line of each key and item in it."""

    path: str
    text: str
    value: Any
    lines: Mapping[Place, int] = field(repr=False)

    def line(self, place: Place = ()) -> int:
        """The line of the value at `place`, or of the nearest thing around it."""
        for length in range(len(place), -1, -1):
            found = self.lines.get(place[:length])
            if found is not None:
                return found
        return 1

    def excerpt(self, place: Place) -> str:
        """The text of one list item, as it stands in the file."""
        rows = self.text.splitlines()
        start = self.line(place)
        siblings = [line for at, line in self.lines.items() if len(at) <= len(place) and line > start]
        end = min(siblings, default=len(rows) + 1)
        block = textwrap.dedent("\n".join(rows[start - 1 : end - 1])).splitlines()
        while block and (not block[-1].strip() or block[-1].lstrip().startswith("#")):
            block.pop()  # what stands before the next item speaks of that one
        return "\n".join(block)


@dataclass(slots=True)
class _Reading:
    path: str
    findings: list[Finding]
    bare_words: bool
    lines: dict[Place, int] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    constructor: Any = field(default_factory=yaml.constructor.SafeConstructor)

    def fault(self, node: yaml.Node, what: str, mend: str) -> None:
        self.findings.append(Finding(self.path, node.start_mark.line + 1, what, mend))

    def value(self, node: yaml.Node, place: Place) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if id(node) in self.seen:
            self.fault(node, "an anchor is used twice", "write the value out in each place")
            return None
        self.seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.lines[(*place, index)] = item.start_mark.line + 1
            return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
        return self.mapping(node, place)

    def mapping(self, node: Any, place: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in result:
                self.fault(key_node, f"the key `{key}` stands twice", "keep one of them")
            self.lines[(*place, key)] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, (*place, key))
        return result

    def scalar(self, node: yaml.ScalarNode) -> Any:
        plain_text = node.tag == "tag:yaml.org,2002:str" and not node.style
        if plain_text and not self.bare_words and _AMBIGUOUS.match(node.value):
            self.fault(node, f"other YAML readers take a bare `{node.value}` for a truth value", "put it in quotes")
        if node.tag == "tag:yaml.org,2002:str":
            return node.value
        try:
            return self.constructor.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError):
            self.fault(node, f"`{node.value}` cannot be read", "write a plain word, number or date")
            return None


def parse(path: str, text: str, findings: list[Finding], *, bare_words: bool = False) -> Document:
    """Read one file; faults are added to `findings` and what can be read is returned.

    With `bare_words`, an unquoted `NO` or `on` is plain text; else it is a fault, since others read it otherwise.
    """
    reading = _Reading(path, findings, bare_words)
    loader = _CoreLoader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        findings.append(Finding(path, line, f"this is not YAML: {error.problem}", "mend the indentation or the quotes"))
        return Document(path, text, None, {})
    finally:
        loader.dispose()
    if node is None:
        findings.append(Finding(path, 1, "the file is empty", "write the document or remove the file"))
        return Document(path, text, None, {})
    reading.lines[()] = node.start_mark.line + 1
    value = reading.value(node, ())
    return Document(path, text, value, reading.lines)


def plain(value: Any) -> Any:
    """The value with dates as ISO text, ready for canonical JSON."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
