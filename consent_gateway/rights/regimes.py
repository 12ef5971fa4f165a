"""Which law's clock governs a right on a day: by the name of the regime, or by where the person lives; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from consent_gateway.errors import FieldFault, InputRefused
from consent_gateway.policy.documents import Pack
from consent_gateway.policy.legal_clocks import RIGHTS, LegalClock
from consent_gateway.rights.clocks import receipt_day


@dataclass(frozen=True, slots=True)
class Law:
    """One right under one law, and the pack it stands in."""

    right: str
    pack: str
    version: str
    clock: LegalClock
    effective_from: date | None
    effective_to: date | None

    @property
    def regime(self) -> str:
        """The name of the law."""
        return self.clock.regime

    def in_force(self, day: date) -> bool:
        """Whether pack and clock hold on the day."""
        begun = self.effective_from is None or self.effective_from <= day
        return begun and (self.effective_to is None or day < self.effective_to) and self.clock.in_force(day)


class Laws:
    """The laws of a policy."""

    def __init__(self, packs: Mapping[str, Pack]) -> None:
        self._packs = packs
        self._laws: dict[str, dict[str, list[Law]]] = {}
        for pack in packs.values():
            for law in _laws(pack):
                self._laws.setdefault(law.regime, {}).setdefault(law.right, []).append(law)

    @property
    def regimes(self) -> tuple[str, ...]:
        """The names of all regimes, in order."""
        return tuple(sorted(self._laws))

    @property
    def places(self) -> frozenset[str]:
        """Every place that a pack names, groups of places too."""
        return frozenset(place for pack in self._packs.values() for place in pack.jurisdictions)

    def find(self, regime: str, right: str, received: date | datetime) -> Law:
        """The law of a regime that gives the right on the day of receipt. Raises `InputRefused`, naming the known."""
        if regime not in self._laws:
            raise _refused("/regime", f"unknown regime `{regime[:32]}`; known are {', '.join(self.regimes)}")
        if right not in RIGHTS:
            raise _refused("/right", f"unknown right `{right[:32]}`; known are {', '.join(RIGHTS)}")
        laws = self._laws[regime].get(right)
        if laws is None:
            known = ", ".join(sorted(self._laws[regime]))
            raise _refused("/right", f"`{regime}` has no clock for `{right}`; it has one for {known}")
        held = [law for law in laws if law.in_force(receipt_day(law.clock, received))]
        if not held:
            since = ", ".join(sorted(_dates(law) for law in laws))
            raise _refused("/received", f"`{right}` of `{regime}` is not in force on that day; it is {since}")
        return held[0]

    def of_place(self, jurisdiction: str, right: str, received: date | datetime) -> Law | None:
        """The law that gives someone who lives there the right; that of the place itself before those above it."""
        for pack in self._chain(jurisdiction):
            for law in _laws(pack):
                if law.right == right and law.in_force(receipt_day(law.clock, received)):
                    return law
        return None

    def rights_in(self, jurisdiction: str, received: date | datetime) -> tuple[str, ...]:
        """Every right that somebody who lives there has."""
        return tuple(right for right in RIGHTS if self.of_place(jurisdiction, right, received))

    def _chain(self, jurisdiction: str) -> Iterable[Pack]:
        waiting = [pack for pack in self._packs.values() if jurisdiction in pack.jurisdictions]
        if not waiting:  # a part of a country without a law of its own
            country = jurisdiction.partition("-")[0]
            waiting = [pack for pack in self._packs.values() if country in pack.jurisdictions]
        seen: set[str] = set()
        while waiting:
            pack = waiting.pop(0)
            if pack.id not in seen:
                seen.add(pack.id)
                yield pack
                waiting += [self._packs[name] for name in pack.extends if name in self._packs]


def _laws(pack: Pack) -> Iterable[Law]:
    for right, clock in pack.clocks.items():
        yield Law(right, pack.id, pack.version, clock, pack.effective_from, pack.effective_to)


def _dates(law: Law) -> str:
    first = max(filter(None, (law.effective_from, law.clock.effective_from)), default=None)
    end = min(filter(None, (law.effective_to, law.clock.effective_to)), default=None)
    return f"from {first or 'ever'}" + (f" until {end}" if end else "")


def _refused(pointer: str, message: str) -> InputRefused:
    return InputRefused(message, (FieldFault(pointer, message),))
