"""The enforcement point for searches: everybody who has a part of an identifier, each by the gated line; holds no rule.

A search answers what it may of at most `SLOTS` people. It always decides and records that many times, about people or
about nobody, so that a search that finds nobody and one of whose people nothing may be told differ in nothing a
caller can see: neither in the answer nor in what it costs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from consent_gateway.audit.entry import Entry
from consent_gateway.audit.recorder import Recorder
from consent_gateway.consent.facts import FactsReader
from consent_gateway.errors import FieldFault, IdentifierRefused
from consent_gateway.gateway import Gateway
from consent_gateway.line import Line, ReadAnswer, decision_entry
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.directory import PersonRef
from consent_gateway.ports import Page
from consent_gateway.vocabulary import Action, Caller

SLOTS = 20
"""How many people one search decides about, and how many look-ups it counts as."""

_PAGE = Page()


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search by a part of an identifier. `fields` None means every field the purpose declares."""

    kind: str
    mode: str
    value: str
    purpose: str
    fields: tuple[str, ...] | None = None
    recipient: str | None = None
    gpc: bool = False

    def __repr__(self) -> str:
        return f"SearchQuery(kind={self.kind!r}, mode={self.mode!r}, value=<withheld>, purpose={self.purpose!r})"


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """Of whom something may be told, in order of our ids.

    `more` is true where all `SLOTS` people decided about are told and there are others: whoever is refused is not
    even counted, so it is false wherever one of them was.
    """

    candidates: tuple[ReadAnswer, ...]
    more: bool
    revision: str


class Searches:
    """Searches by way of the gateway. Safe to share between threads; `modes` are those the catalogue asks for."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        facts: FactsReader,
        indexes: BlindIndex,
        recorder: Recorder,
        modes: Mapping[str, Sequence[str]],
        revision: str,
        shuffle: Callable[[list[ReadAnswer]], None],
    ) -> None:
        self._gateway = gateway
        self._facts = facts
        self._indexes = indexes
        self._recorder = recorder
        self._modes = modes
        self._revision = revision
        self._shuffle = shuffle

    def search(self, caller: Caller, query: SearchQuery) -> SearchAnswer:
        """Read the records of everybody who has this part of an identifier, as far as each may be told.

        Raises `IdentifierRefused` for a mode the catalogue does not ask for or a value that is no such part, and as
        `Gateway.read` does.
        """
        self._refuse_unasked(query)
        request = self._gateway.claim(caller, query.purpose, query.fields, query.recipient, Action.READ, gpc=query.gpc)
        found = self._indexes.found(
            lambda: self._indexes.asked(query.kind, query.mode, query.value),
            lambda at: self._facts.by_part(at.kind, query.mode, at.values, SLOTS + 1),
        )
        slots = [*found[:SLOTS], *[None] * (SLOTS - len(found))]
        lines = [self._gateway.decided_about(caller, request, known) for known in slots]
        opened = [(line, *self._gateway.opened(line, _PAGE)) for line in lines]
        entries = [_entry(line, query) for line in lines]
        self._recorder.record_all(entries)  # durable, or nothing leaves
        candidates = [
            self._gateway.read_answer(line, _meant(line), entry.entry_id, stored, record)
            for (line, stored, record), entry in zip(opened, entries, strict=True)
            if stored is not None
        ]
        self._shuffle(candidates)  # a fixed order would tell two recipients which of their pseudonyms are one person's
        more = len(found) > SLOTS and len(candidates) == SLOTS
        return SearchAnswer(tuple(candidates), more, self._revision)

    def _refuse_unasked(self, query: SearchQuery) -> None:
        modes = self._modes.get(query.kind, ())
        if query.mode not in modes:
            named = ", ".join(f"`{mode}`" for mode in modes) or "no search"
            fault = (FieldFault("/identifier/mode", "not asked for by the catalogue"),)
            raise IdentifierRefused(f"the catalogue asks for {named} of this kind of identifier", fault)


def _entry(line: Line, query: SearchQuery) -> Entry:
    return replace(decision_entry(line), detail={"search": f"{query.kind}.{query.mode}"})


def _meant(line: Line) -> PersonRef:
    return PersonRef(data_subject=line.known.data_subject if line.known else "nobody")
