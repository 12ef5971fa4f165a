"""Chooses what to look for after an erasure: values that are this person's alone; keeps nothing and logs nothing.

Identifiers and the full name tell a person from all others. Any other value of six characters or more counts where no
other row of its column holds it and the policy does not call its category common. A value is looked for in the forms
in which it may stand elsewhere: in lower case, in JSON, in a URL, in HTML.
"""

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from consent_gateway.errors import IdentifierRefused
from consent_gateway.people.normalise import normalise
from consent_gateway.policy.catalogue import Catalogue, Collection, Field
from consent_gateway.policy.documents import covers
from consent_gateway.policy.retention import Terms
from consent_gateway.ports import BYTES_FORM, ColumnKind, ErasableStore, Needles, StoreRow
from consent_gateway.rights.plan_model import Gathered, Looked
from consent_gateway.rights.plan_rows import table_named
from consent_gateway.vocabulary import Identifier, JsonValue

LEAST = 6  # characters of a value that is looked for
LONGEST = 200  # characters of it that are; the beginning of a longer text tells it as well
_LEAST_DIGITS = 8
_NATIONAL_DIGITS = 10  # the last of a telephone number, which both ways of writing it have
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")
_NUMBER = re.compile(r"[-+]?[0-9][0-9., /:-]*")
_BEFORE = r"(?:^|[^0-9a-z]|\\[nrtbf]|\\u[0-9a-f]{4}|%[0-9a-f]{2})"  # an escape may stand before a word
_AFTER = r"(?:$|[^0-9a-z])"
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}

Opened = Callable[[Collection, StoreRow], Mapping[str, JsonValue]]
"""Gives the clear values of a row's sealed columns, by column; nothing where they do not open."""


@dataclass(slots=True)
class _Chosen:
    texts: dict[str, None] = field(default_factory=dict)
    digits: dict[str, None] = field(default_factory=dict)


class Choosing:
    """Chooses for one person."""

    def __init__(
        self,
        store: ErasableStore,
        catalogue: Catalogue,
        terms: Terms,
        gathered: Gathered,
        region: str | None,
        opened: Opened = lambda _collection, _row: {},
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._terms = terms
        self._gathered = gathered
        self._region = region
        self._opened = opened
        self._identifying, self._distinctive = _Chosen(), _Chosen()

    def identifiers(self) -> tuple[Identifier, ...]:
        """What the person's rows call them."""
        found: dict[Identifier, None] = {}
        for collection in self._catalogue.collections.values():
            table = table_named(self._gathered.tables, collection.table)
            rows = {} if table is None else self._gathered.mine.get(table.name, {})
            for one in collection.fields:
                for row in rows.values():
                    value = row.values.get(one.column)
                    if one.identity is not None and isinstance(value, str | int) and not isinstance(value, bool):
                        found[Identifier(one.identity, str(value))] = None
        return tuple(found)

    def looked(self, known_by: Sequence[Identifier] = ()) -> Looked:
        """What is to be looked for."""
        for one in known_by:
            self._identifier(one.kind, one.value)
        for collection in self._catalogue.collections.values():
            table = table_named(self._gathered.tables, collection.table)
            rows = {} if table is None else self._gathered.mine.get(table.name, {})
            if table is not None and rows:
                self._of_table(collection, table.name, list(rows.values()))
        return Looked(needles(self._identifying), needles(self._distinctive))

    def replaced(self, old: Mapping[str, JsonValue]) -> Looked:
        """What is to be looked for of values that were corrected, by field of the root: what is this person's alone."""
        table = table_named(self._gathered.tables, self._catalogue.root.table)
        for name, value in old.items():
            declared = self._catalogue.fields[name]
            if declared.protection is not None:
                self._add(value)  # sealed, no two stand alike, so nobody can count who else has it
            elif table is None or sum(self._store.held(table.name, declared.column, [value]).values()) != 1:
                continue
            elif declared.identity is not None:
                self._identifier(declared.identity, value)
            elif not (self._is_common(declared) or _is_part_of_name(declared)):
                self._add(value)
        return Looked(needles(self._identifying), needles(self._distinctive))

    def _of_table(self, collection: Collection, table: str, rows: Sequence[StoreRow]) -> None:
        fields = {one.column: one for one in collection.fields}
        if collection is self._catalogue.root:
            self._names(collection, table, rows)
        for column, told in self._gathered.tables[table].columns.items():
            declared = fields.get(column)
            if declared is not None and declared.identity is not None:
                for row in rows:
                    self._identifier(declared.identity, row.values.get(column))
            if declared is None or not (self._is_common(declared) or _is_part_of_name(declared)):
                self._unique(table, column, told.kind, rows)
        for row in rows:
            for value in self._opened(collection, row).values():
                self._add(value)

    def _is_common(self, declared: Field) -> bool:
        return any(covers(key, category) for key in self._terms.common for category in declared.categories)

    def _unique(self, table: str, column: str, kind: ColumnKind, rows: Sequence[StoreRow]) -> None:
        held = [row.values[column] for row in rows if row.values.get(column) is not None]
        if kind is ColumnKind.JSON or any(isinstance(value, list | dict) for value in held):
            for value in held:
                self._add(value)
            return
        wanted = [value for value in held if isinstance(value, str | int) and _tells(_text(value))]
        counts = self._store.held(table, column, wanted) if wanted else {}
        for value in wanted:
            if counts.get(value, 0) <= wanted.count(value):
                self._add(value)

    def _add(self, value: JsonValue) -> None:
        for text in _leaves(value):
            if _tells(text) and not _is_token(text):
                self._distinctive.texts[text[:LONGEST]] = None

    def _names(self, root: Collection, table: str, rows: Sequence[StoreRow]) -> None:
        firsts, lasts = (
            [one.column for one in root.fields if key in one.categories]
            for key in ("user.name.first", "user.name.last")
        )
        for row in rows:
            for pair in ((one, other) for one in firsts for other in lasts):
                first, last = (str(row.values.get(column) or "").strip() for column in pair)
                same = self._store.find(table, pair, [(first, last)]) if first and last else ()
                if len(same) == 1 and len(first) + len(last) >= LEAST:
                    for text in (f"{first} {last}", f"{last} {first}", f"{last}, {first}"):
                        self._identifying.texts[text] = None

    def _identifier(self, kind: str, value: JsonValue) -> None:
        if value is None or isinstance(value, bool | list | dict):
            return
        text = str(value).strip()
        forms = {text}
        with suppress(IdentifierRefused):  # it is looked for as it stands
            forms.add(normalise(Identifier(kind, text), self._region))
        digits = re.sub(r"[^0-9]", "", max(forms, key=len))
        if kind == "phone" and len(digits) >= _LEAST_DIGITS:
            self._identifying.digits[digits if len(digits) <= _NATIONAL_DIGITS else digits[-_NATIONAL_DIGITS:]] = None
        for form in forms:
            if len(form) >= LEAST and not (form.isdecimal() and len(form) < _LEAST_DIGITS):
                self._identifying.texts[form] = None


def _is_part_of_name(declared: Field) -> bool:
    """A first or last name alone is many people's; the two together are looked for."""
    return any(each.startswith("user.name.") for each in declared.categories)


def needles(chosen: "_Chosen") -> Needles:
    """The regular expressions for these values."""
    words = dict.fromkeys(form for text in chosen.texts for form in _forms(text))
    plain = tuple(dict.fromkeys(shown for word in words for shown in (word, _octal(word))))
    return Needles(
        texts=_bounded(words),
        bare="|".join(map(_escaped, plain)),
        digits="|".join(chosen.digits),
        words=plain,
    )


def joined(one: Needles, other: Needles) -> Needles:
    """What either looks for."""
    pairs = ((one.texts, other.texts), (one.bare, other.bare), (one.digits, other.digits))
    words = tuple(dict.fromkeys((*one.words, *other.words)))
    texts, bare, digits = ("|".join(dict.fromkeys(filter(None, pair))) for pair in pairs)
    return Needles(texts, bare, digits, words)


def _forms(text: str) -> Iterator[str]:
    """The text in lower case, as PostgreSQL's C locale lowers it too, and as other formats write it."""
    lower = text.lower()
    for each in (lower, text.translate(_ASCII_LOWER), text.upper().translate(_ASCII_LOWER)):
        yield each
    for each in (json.dumps(lower)[1:-1], urllib.parse.quote(lower, safe=""), html.escape(lower)):
        yield each.lower()
    yield urllib.parse.quote_plus(lower).lower()


def _bounded(words: Iterable[str]) -> str:
    """The words where they do not go on to either side, so that `ann@…` is not found in `joann@…`."""
    groups: dict[tuple[str, str], list[str]] = {}
    for word in words:
        before = _BEFORE if word[0].isascii() and word[0].isalnum() else ""
        after = _AFTER if word[-1].isascii() and word[-1].isalnum() else ""
        groups.setdefault((before, after), []).append(_escaped(word))
    return "|".join(f"{before}(?:{'|'.join(each)}){after}" for (before, after), each in groups.items())


def _escaped(word: str) -> str:
    return re.sub(r"([^0-9A-Za-z\u0080-\U0010ffff])", lambda found: f"\\{found[0]}", word)


def _octal(word: str) -> str:
    return "".join(
        "\\\\" if byte == 0x5C else chr(byte) if byte < 0x80 else f"\\{byte:03o}" for byte in word.encode() if byte
    )


def _leaves(value: JsonValue) -> Iterable[str]:
    """Every text in a value, however deep; a text that is itself JSON is opened."""
    if isinstance(value, str | int):
        text = _text(value)
        yield text
        if text[:1] in {"[", "{"}:
            with suppress(ValueError):
                yield from _leaves(json.loads(text))
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)


def _text(value: str | int) -> str:
    """The text of a value; of bytes what they are as UTF-8."""
    if isinstance(value, str) and value.startswith(BYTES_FORM):
        return base64.b64decode(value.removeprefix(BYTES_FORM)).decode("utf-8", "ignore").strip("\0 ")
    return str(value).strip()


def is_plain(text: str) -> bool:
    """Whether a text is a date or a short number, of which many rows hold the same."""
    if _DATE.fullmatch(text):
        return True
    return _NUMBER.fullmatch(text) is not None and sum(each.isdecimal() for each in text) < _LEAST_DIGITS


def _tells(text: str) -> bool:
    """Whether a text may tell a person from others."""
    return len(text) >= LEAST and not is_plain(text)


def _is_token(text: str) -> bool:
    return re.match(r"[a-z]{2}[0-9]{1,2}\.[a-z2-7]{4}\.", text) is not None
