"""The policy documents as frozen types, as a compliance officer wrote them; interprets nothing.

Words that stand for others (`all`, `group:...`, `sensitive`, named ages) are kept as written and resolved by
the compiler. `line` is where the thing stands in `path`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from consent_gateway.policy.access_texts import AccessTexts
from consent_gateway.policy.catalogue import Catalogue
from consent_gateway.policy.controllers import Controllers
from consent_gateway.policy.ir import Stage
from consent_gateway.policy.legal_clocks import LegalClock
from consent_gateway.policy.letters import LetterTexts
from consent_gateway.policy.notices import Notice
from consent_gateway.policy.reidentification import Reidentification
from consent_gateway.policy.retention import Retention
from consent_gateway.policy.rights_terms import RightsTerms
from consent_gateway.policy.steps import Steps
from consent_gateway.vocabulary import Effect, Obligation, Reason, RecipientRole

EVERYWHERE = "everywhere"
SENSITIVE = "sensitive"
ALL = "all"
GROUP_PREFIX = "group:"


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why personal data is used; `categories` are the Fideslang keys it may touch, each with what lies below.

    `key_classes` are the classes of sealed fields that a credential registered for the purpose can open.
    """

    key: str
    name: str
    description: str
    dpv: str
    fideslang: str
    categories: tuple[str, ...]
    groups: tuple[str, ...] = ()
    key_classes: tuple[str, ...] = ()
    line: int = 1

    def touches(self, categories: Iterable[str]) -> bool:
        """Whether the purpose declares every one of these categories, so that a field of them may be asked for."""
        return all(any(covers(key, category) for key in self.categories) for category in categories)


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of personal data; `special` ones are those of GDPR Art. 9 and 10."""

    key: str
    name: str
    special: bool
    line: int = 1


@dataclass(frozen=True, slots=True)
class Channel:
    """A way in which the company meets people, and the conditions of exceptions it declares for it."""

    key: str
    name: str
    conditions: frozenset[str] = frozenset()
    line: int = 1


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a recipient is told of erasures and corrections: a mail address, and the language of what it is sent."""

    address: str
    language: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who may receive: role, country and transfer safeguard, and the purposes it may receive for.

    Without a `contact` it is told of erasures and corrections by hand.
    """

    key: str
    name: str
    role: RecipientRole
    country: str
    safeguard: str | None
    purposes: tuple[str, ...]
    contact: Contact | None = None
    line: int = 1


@dataclass(frozen=True, slots=True)
class Transform:
    """The obligation that carries out an effect for some categories."""

    categories: tuple[str, ...]
    effect: Effect
    obligation: Obligation
    line: int = 1


@dataclass(frozen=True, slots=True)
class Ages:
    """Known minors from one age (inclusive) and below another, in years or as a name from the pack's `ages`."""

    from_age: int | str | None
    below: int | str


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as written."""

    id: str
    pack: str
    kind: str
    source: str
    purposes: tuple[str, ...]
    except_purposes: tuple[str, ...]
    categories: tuple[str, ...]
    except_categories: tuple[str, ...]
    when: tuple[str, ...]
    ages: Ages | None
    roles: tuple[str, ...]
    effect: Effect | None
    reason: Reason | None
    default_reason: Reason | None
    stage: Stage | None
    effective_from: date | None
    effective_to: date | None
    note: str
    text: str
    path: str
    line: int

    def in_force(self, day: date) -> bool:
        """Whether the rule's own dates hold on the day."""
        return _within(day, self.effective_from, self.effective_to)


@dataclass(frozen=True, slots=True)
class SignalDuty:
    """Whether, and since which day, a law demands that an opt-out signal be honoured."""

    required: bool
    since: date | None
    source: str


@dataclass(frozen=True, slots=True)
class Pack:
    """The rules of one law, dated. `ages` maps a name to thresholds by place, with `default` among them."""

    id: str
    title: str
    version: str
    effective_from: date | None
    effective_to: date | None
    jurisdictions: tuple[str, ...]
    extends: tuple[str, ...]
    replaces: tuple[str, ...]
    ages: Mapping[str, Mapping[str, int]]
    consent_months: int | None
    implied_months: int | None
    inherits: frozenset[str]  # which of `consent_months` and `implied_months` are not written, so come from `extends`
    reask_months: int | None
    signal_duty: SignalDuty | None
    clocks: Mapping[str, LegalClock]  # by right
    sensitive: tuple[str, ...]
    rules: tuple[Rule, ...]
    path: str
    line: int
    steps: Steps = field(default_factory=Steps)

    @property
    def everywhere(self) -> bool:
        """True for a pack that holds in every known place in addition to the place's own."""
        return EVERYWHERE in self.jurisdictions

    def in_force(self, day: date) -> bool:
        """Whether the pack's dates hold on the day."""
        return _within(day, self.effective_from, self.effective_to)


@dataclass(frozen=True, slots=True)
class Documents:
    """Everything that was read, typed."""

    purposes: Mapping[str, Purpose]
    categories: Mapping[str, Category]
    channels: Mapping[str, Channel]
    recipients: Mapping[str, Recipient]
    transforms: tuple[Transform, ...]
    notices: Mapping[str, Notice]
    packs: Mapping[str, Pack]
    catalogue: Catalogue
    reidentification: Reidentification = field(default_factory=Reidentification)
    retention: Retention = field(default_factory=Retention)
    access_texts: AccessTexts = field(default_factory=AccessTexts)
    rights: tuple[RightsTerms, ...] = ()
    letters: LetterTexts = field(default_factory=LetterTexts)
    controllers: tuple[Controllers, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)  # kind of document -> path

    def rules(self) -> Mapping[str, Rule]:
        """All rules by id."""
        return {rule.id: rule for pack in self.packs.values() for rule in pack.rules}


def _within(day: date, first: date | None, end: date | None) -> bool:
    return (first is None or first <= day) and (end is None or day < end)


def covers(key: str, category: str) -> bool:
    """Whether a Fideslang key is the category or lies above it, at a dot boundary."""
    return category == key or category.startswith(f"{key}.")
