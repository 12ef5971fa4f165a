"""What takes more than one step, as a pack writes it under `steps`; interprets nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Link:
    """How long a mailed link of a kind is good; `purposes` are the words of those it may speak for."""

    days: int
    source: str
    purposes: tuple[str, ...]
    except_purposes: tuple[str, ...]

    @property
    def life(self) -> timedelta:
        """How long the link is good."""
        return timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class DoubleOptIn:
    """Where a yes given in one of these ways counts only once it was confirmed from the mailbox it is about."""

    purposes: tuple[str, ...]
    ways: tuple[str, ...]
    places: tuple[str, ...]  # none: every place of the pack
    source: str


@dataclass(frozen=True, slots=True)
class OptInAgain:
    """How long after the request to opt in again its confirmation may come."""

    minutes: int
    source: str

    @property
    def within(self) -> timedelta:
        """The time between the two steps, at most."""
        return timedelta(minutes=self.minutes)


@dataclass(frozen=True, slots=True)
class Steps:
    """What one pack says about steps."""

    confirm: Link | None = None
    parent_by_mail: Link | None = None
    opt_in_again: OptInAgain | None = None
    double_opt_in: tuple[DoubleOptIn, ...] = ()

    def words(self) -> Iterator[str]:
        """Every word that stands for purposes."""
        for link in (self.confirm, self.parent_by_mail):
            yield from (*link.purposes, *link.except_purposes) if link else ()
        for one in self.double_opt_in:
            yield from one.purposes

    def places(self) -> Iterator[str]:
        """Every place that is named."""
        for one in self.double_opt_in:
            yield from one.places


def read_steps(given: Mapping[str, Any] | None) -> Steps:
    """The steps of a pack out of what its schema made of them."""
    if given is None:
        return Steps()
    confirm, parent, again = given["confirm"], given["parent_by_mail"], given["opt_in_again"]
    return Steps(
        confirm=Link(**confirm) if confirm else None,
        parent_by_mail=Link(**parent) if parent else None,
        opt_in_again=OptInAgain(**again) if again else None,
        double_opt_in=tuple(DoubleOptIn(**{**one, "ways": tuple(one["ways"])}) for one in given["double_opt_in"]),
    )
