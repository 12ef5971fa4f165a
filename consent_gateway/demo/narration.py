"""Prints the story: plain sentences, curl lines, answers shortened so that the point can be seen; decides nothing."""

import json
import re
import textwrap
from collections.abc import Callable

from consent_gateway.demo.calls import Answer
from consent_gateway.vocabulary import JsonValue

_WIDTH = 110
_VERDICT_WIDTH = 170  # so that verdicts stand below each other and can be compared
_LONGEST_TEXT = 84
_MOST_ENTRIES = 12
_MOST_ITEMS = 2
_BOLD, _DIM, _RED, _GREEN, _CYAN, _PLAIN = ("\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[36m", "\x1b[0m")
_WORDS = re.compile(r'("(?:[^"\\]|\\.)*")(:)?')
_CLOSED = frozenset({'"withhold"', '"withheld"', '"refused"'})


class Narrator:
    """Prints chapters, sentences, calls and answers. `echo` prints one line; `colour` is for terminals only."""

    def __init__(self, echo: Callable[[str], None], *, colour: bool) -> None:
        self._echo = echo
        self._colour = colour
        self._chapter = 0

    def chapter(self, title: str) -> None:
        """Begin a numbered chapter."""
        self._chapter += 1
        self._echo("")
        self._echo(self._in(_BOLD, f"{self._chapter}. {title}"))

    def say(self, text: str) -> None:
        """Sentences, wrapped."""
        self._echo("")
        for line in textwrap.wrap(text, _WIDTH - 10):
            self._echo(f"   {line}")

    def line(self, text: str) -> None:
        """A line to copy, unwrapped so that it can be."""
        self._echo(self._in(_DIM, "   $ ") + text)

    def answer(self, answer: Answer, show: tuple[str, ...] = ()) -> None:
        """The status and the shortened body; of a long one only what `show` names, as dotted paths."""
        good = answer.status < 400
        self._echo(self._in(_GREEN if good else _RED, f"   {answer.status}"))
        if answer.body is None:
            return
        body = picked(answer.body, show) if good and show else answer.body
        for line in rendered(shortened(body), 3):
            self._echo("   " + (self._painted(line) if self._colour else line))

    def text(self, text: str) -> None:
        """Output of a command, as it is."""
        for line in text.splitlines():
            self._echo(f"   {line}")

    def broken(self, promise: str) -> None:
        """Say that the gateway did not do what the story says."""
        self._echo(self._in(_RED, f"   ! this was promised and did not happen: {promise}"))

    def _in(self, paint: str, text: str) -> str:
        return f"{paint}{text}{_PLAIN}" if self._colour else text

    def _painted(self, line: str) -> str:
        def paint(match: re.Match[str]) -> str:
            word, colon = match.group(1), match.group(2) or ""
            if colon:
                return self._in(_CYAN, word) + colon
            return self._in(_RED if word in _CLOSED else _GREEN, word)

        return _WORDS.sub(paint, line)


def picked(value: JsonValue, paths: tuple[str, ...]) -> JsonValue:
    """The parts of an object to which the dotted paths lead, in the order of the paths, as far as they are there."""
    found: dict[str, JsonValue] = {}
    for path in paths:
        first, _, rest = path.partition(".")
        if not isinstance(value, dict) or first not in value:
            continue
        if not rest:
            found[first] = value[first]
        elif inner := picked(value[first], (rest,)):
            found[first] = inner if first not in found else _joined(found[first], inner)
    return found


def _joined(one: JsonValue, other: JsonValue) -> JsonValue:
    """Both objects in one, and so on inwards."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other
    return {**one, **{key: _joined(one.get(key), item) for key, item in other.items()}}


def shortened(value: JsonValue) -> JsonValue:
    """`value` with long texts cut, empty lists left out, and long lists and objects ended by how much more there is."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else value[: _LONGEST_TEXT - 1] + "…"
    if isinstance(value, list):
        kept = [shortened(item) for item in value[:_MOST_ITEMS]]
        return kept if len(value) <= _MOST_ITEMS else [*kept, f"… {len(value) - _MOST_ITEMS} more"]
    if isinstance(value, dict):
        entries = [(key, item) for key, item in value.items() if item != []]
        cut = {key: shortened(item) for key, item in entries[:_MOST_ENTRIES]}
        if len(entries) > _MOST_ENTRIES:
            cut["…"] = f"{len(entries) - _MOST_ENTRIES} more"
        return cut
    return value


def rendered(value: JsonValue, indent: int = 0) -> list[str]:
    """`value` as lines of JSON, what fits on one line kept on one; a verdict may take a longer one."""
    return _lines("", value, "", indent)


def _lines(before: str, value: JsonValue, after: str, indent: int) -> list[str]:
    compact = before + json.dumps(value, ensure_ascii=False) + after
    most = _VERDICT_WIDTH if isinstance(value, dict) and "effect" in value else _WIDTH
    if not isinstance(value, dict | list) or not value or indent + len(compact) <= most:
        return [compact]
    if isinstance(value, dict):
        inner = [(json.dumps(key, ensure_ascii=False) + ": ", item) for key, item in value.items()]
        opening, closing = "{", "}"
    else:
        inner = [("", item) for item in value]
        opening, closing = "[", "]"
    lines = [before + opening]
    for place, (key, item) in enumerate(inner):
        comma = "," if place < len(inner) - 1 else ""
        lines.extend("  " + line for line in _lines(key, item, comma, indent + 2))
    return [*lines, closing + after]
