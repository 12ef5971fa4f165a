"""Frozen types and closed word lists that every room shares; holds no behaviour beyond reading itself.

The words are those of GDPR, CCPA, W3C DPV and OASIS/AuthZEN. One rule of the house: never a bare
"subject", "user" or "data". A `caller` is the channel service that holds a credential, a
`data_subject` is the person. All times are timezone-aware UTC datetimes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Literal

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]

ANY_PURPOSE = "*"
"""Stands for the whole person where an event or a state does not concern one purpose."""

COMPANY = "company"
"""The recipient who is the company itself; in an `AccessRequest` written as None."""

LANGUAGES = ("en", "de", "fr", "es", "it", "ar")
"""The languages that pages, mails and letters are written in; the first is used where no other is asked for."""


class Effect(IntEnum):
    """What may happen to a field's value, from open to closed; the most closed wins."""

    ALLOW = 0
    GENERALISE = 1
    MASK = 2
    PSEUDONYMISE = 3
    WITHHOLD = 4

    @property
    def word(self) -> str:
        """The word used in policy files, answers and audit entries."""
        return self.name.lower()


class Action(StrEnum):
    """What the caller wants to do with the fields it names."""

    READ = "read"
    WRITE = "write"


class RecipientRole(StrEnum):
    """The role in which a recipient receives (GDPR Art. 4(7)-(10); CCPA 1798.140)."""

    CONTROLLER = "controller"
    PROCESSOR = "processor"
    THIRD_PARTY = "third_party"


class Reason(StrEnum):
    """Closed list of reason codes; extend, never rename. The first block is for what is open."""

    CONSENT = "consent"
    EXPLICIT_CONSENT = "explicit_consent"
    PARENTAL_CONSENT = "parental_consent"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal_obligation"
    LEGITIMATE_INTEREST = "legitimate_interest"
    SOFT_OPT_IN = "soft_opt_in"
    OPT_OUT_MODEL = "opt_out_model"
    NOTICE_OPT_OUT = "notice_opt_out"
    OPT_IN_AFTER_OPT_OUT = "opt_in_after_opt_out"
    CASL_IMPLIED = "casl_implied"
    MINOR_OPT_IN = "minor_opt_in"  # also names the closed case: a minor who has not opted in
    LIMIT_EXCEPTION_REQUESTED_SERVICE = "limit_exception_requested_service"
    PECR_STATISTICS_EXCEPTION = "pecr_statistics_exception"
    FINANCIAL_INCENTIVE_CONFLICT = "financial_incentive_conflict"

    NO_CONSENT = "no_consent"
    NOT_YET_GIVEN = "not_yet_given"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    EXPIRED = "expired"
    NOTICE_VERSION_MISMATCH = "notice_version_mismatch"
    PURPOSE_MISMATCH = "purpose_mismatch"
    EXPLICIT_CONSENT_REQUIRED = "explicit_consent_required"
    SPECIAL_CATEGORY = "special_category"
    SENSITIVE_OPT_IN = "sensitive_opt_in"
    SOFT_OPT_IN_CONDITIONS = "soft_opt_in_conditions"
    OBJECTION = "objection"
    OBJECTION_ABSOLUTE = "objection_absolute"
    OPTED_OUT = "opted_out"
    UNSUBSCRIBED = "unsubscribed"
    GPC = "gpc"
    LIMIT_SENSITIVE = "limit_sensitive"
    SERVICE_PROVIDER_CANNOT_CROSS_CONTEXT = "service_provider_cannot_cross_context"
    BELOW_DIGITAL_AGE = "below_digital_age"
    PARENT_REQUIRED = "parent_required"
    MINOR_PROHIBITED = "minor_prohibited"
    SALE_BANNED = "sale_banned"
    SENSITIVE_SALE_BANNED = "sensitive_sale_banned"
    OFF_BY_DEFAULT = "off_by_default"
    NOT_A_MEMBER = "not_a_member"
    TRANSFER_WITHOUT_SAFEGUARD = "transfer_without_safeguard"
    RESTRICTION = "restriction"
    ERASURE_PENDING = "erasure_pending"
    ERASED = "erased"
    LEGAL_HOLD = "legal_hold"
    CATEGORY_NOT_DECLARED_FOR_PURPOSE = "category_not_declared_for_purpose"
    UNKNOWN_PURPOSE = "unknown_purpose"
    UNKNOWN_CATEGORY = "unknown_category"
    UNKNOWN_JURISDICTION = "unknown_jurisdiction"
    UNKNOWN_STATE = "unknown_state"
    UNKNOWN_OBLIGATION = "unknown_obligation"
    CALLER_NOT_PERMITTED = "caller_not_permitted"


class EventKind(StrEnum):
    """What a person did, or what was recorded about them; the kinds of consent event.

    Kinds in `PERSON_WIDE` concern the whole person and carry the purpose `ANY_PURPOSE`; the others
    concern one purpose.
    """

    REQUEST = "request"  # asked, not yet answered (double opt-in pending)
    GRANT = "grant"
    GRANT_EXPLICIT = "grant_explicit"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"
    OBJECT = "object"
    OPT_OUT = "opt_out"
    OPT_IN_AGAIN = "opt_in_again"
    UNSUBSCRIBE = "unsubscribe"
    SOFT_OPT_IN = "soft_opt_in"
    IMPLIED = "implied_existing_customer"
    PAUSE = "pause"  # not in use until `valid_until`
    RESUME = "resume"  # the pause is over before its end
    FREQUENCY = "frequency"  # how often, which every channel is told; opens and closes nothing
    GPC = "gpc"
    LIMIT = "limit"
    LIFT_LIMIT = "lift_limit"
    RESTRICT = "restrict"
    LIFT_RESTRICTION = "lift_restriction"
    PARENTAL_AUTHORISATION = "parental_authorisation"
    PARENTAL_REVOCATION = "parental_revocation"
    JOIN_PROGRAMME = "join_programme"
    LEAVE_PROGRAMME = "leave_programme"
    ERASURE_REQUEST = "erasure_request"
    ERASURE_CANCEL = "erasure_cancel"
    ERASED = "erased"
    LEGAL_HOLD = "legal_hold"
    LIFT_LEGAL_HOLD = "lift_legal_hold"


PERSON_WIDE = frozenset(
    {
        EventKind.GPC,
        EventKind.LIMIT,
        EventKind.LIFT_LIMIT,
        EventKind.RESTRICT,
        EventKind.LIFT_RESTRICTION,
        EventKind.PARENTAL_AUTHORISATION,
        EventKind.PARENTAL_REVOCATION,
        EventKind.JOIN_PROGRAMME,
        EventKind.LEAVE_PROGRAMME,
        EventKind.ERASURE_REQUEST,
        EventKind.ERASURE_CANCEL,
        EventKind.ERASED,
        EventKind.LEGAL_HOLD,
        EventKind.LIFT_LEGAL_HOLD,
    }
)

OPENING = frozenset(
    {
        EventKind.GRANT,
        EventKind.GRANT_EXPLICIT,
        EventKind.OPT_IN_AGAIN,
        EventKind.SOFT_OPT_IN,
        EventKind.IMPLIED,
        EventKind.RESUME,
        EventKind.LIFT_LIMIT,
        EventKind.LIFT_RESTRICTION,
        EventKind.PARENTAL_AUTHORISATION,
        EventKind.JOIN_PROGRAMME,
        EventKind.ERASURE_CANCEL,
        EventKind.LIFT_LEGAL_HOLD,
    }
)
"""Kinds that may open something; they need full evidence and are never applied to a shared identifier."""


FREQUENCIES = ("daily", "weekly", "monthly")
"""How often a person may want to hear of us, from often to rare."""


class ChoiceStatus(StrEnum):
    """Where one person stands on one purpose, as projected from their consent events."""

    UNKNOWN = "unknown"
    REQUESTED = "requested"
    GRANTED = "granted"
    GRANTED_EXPLICIT = "granted_explicit"
    SOFT_OPT_IN = "soft_opt_in"
    IMPLIED = "implied_existing_customer"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Choice:
    """One person's standing on one purpose. Times in UTC; `event_id` is the consent event it rests on."""

    purpose: str
    status: ChoiceStatus = ChoiceStatus.UNKNOWN
    given_at: datetime | None = None
    valid_until: datetime | None = None  # set by the event; the pack may end it sooner
    notice_version: str | None = None
    objected: bool = False
    opted_out: bool = False
    opted_in_again: bool = False  # a grant that came after an opt-out
    unsubscribed: bool = False
    conditions: frozenset[str] = frozenset()  # of an exception, recorded with the event by name
    event_id: str | None = None
    paused_until: datetime | None = None  # not in use before this moment, whatever the status
    paused_at: datetime | None = None  # when it was last paused: an older resumption recorded late lifts nothing
    pause_event: str | None = None
    frequency: str | None = None  # one of `FREQUENCIES`; None: as often as there is something


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything about one person that a decision may depend on; no identifier and no profile value."""

    jurisdiction: str | None
    """Where the person lives: ISO 3166-1 country or 3166-2 subdivision, `DE` or `US-CA`; None if unknown."""
    choices: Mapping[str, Choice] = field(default_factory=dict)  # by purpose
    minor_born: date | None = None
    """Date of birth, known only for people who may be minors; None means not known to be one."""
    parental_authorisation: bool = False
    restricted: bool = False
    limited: bool = False
    gpc: bool = False
    member: bool = False
    erasure_pending: bool = False
    erased: bool = False
    legal_hold: bool = False
    data_subject: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated channel service: who it is and what its registration lets it claim."""

    client_id: str
    channel: str
    purposes: frozenset[str]
    recipients: frozenset[str]
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One question to the gateway, already authenticated and well-formed. `fields` are catalogue names."""

    client_id: str
    channel: str
    purpose: str
    fields: tuple[str, ...]
    time: datetime
    action: Action = Action.READ
    recipient: str | None = None  # None: the company itself
    gpc: bool = False  # the call carried the visitor's `Sec-GPC: 1`


@dataclass(frozen=True, slots=True)
class Obligation:
    """A mandatory transform tied to a verdict; one that is not understood means deny."""

    transform: str
    parameters: tuple[tuple[str, str | int], ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided for one field, and which rule said so."""

    effect: Effect
    reason: Reason
    rule: str  # id of the deciding rule, for example `us-ca.gpc`; `gateway.*` for built-in denials
    obligations: tuple[Obligation, ...] = ()

    @property
    def is_open(self) -> bool:
        """True where a value may go out, transformed or not."""
        return self.effect is not Effect.WITHHOLD


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of `policy.decide`: a verdict for each requested field, and what they rested on."""

    verdicts: Mapping[str, Verdict]  # by field name, in the order requested
    revision: str  # digest of the policy documents
    pack: str | None  # `eea@2026.1`, None where no pack speaks for the jurisdiction
    jurisdiction: str | None
    facts: tuple[str, ...]  # names of the facts that held: enough to replay the decision
    consent_event: str | None

    @property
    def open_fields(self) -> tuple[str, ...]:
        """Names of the fields that may be asked of the store."""
        return tuple(name for name, verdict in self.verdicts.items() if verdict.is_open)


How = Literal["web_form", "app_form", "spoken", "paper", "api", "signal", "import", "preference_page", "mail_link"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """How a choice was made, so that it can be demonstrated later (GDPR Art. 7(1))."""

    channel: str
    how: str  # one of the words of `How`
    recorded_by: str  # client id or officer id
    notice: str | None = None  # notice id
    notice_version: str | None = None
    language: str | None = None  # BCP 47
    reference: str | None = None  # opaque: a form's number, a script's version, an image's hash
    conditions: frozenset[str] = frozenset()
    notice_sha256: str | None = None  # of the text shown, in hex; the consent room fills it in


@dataclass(frozen=True, slots=True)
class NewConsentEvent:
    """A choice on its way into the ledger."""

    data_subject: str
    purpose: str  # ANY_PURPOSE for the kinds in PERSON_WIDE
    kind: EventKind
    occurred_at: datetime
    evidence: Evidence
    valid_until: datetime | None = None  # of a pause: its end
    frequency: str | None = None  # of a `FREQUENCY`: one of `FREQUENCIES`


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """A committed, unchangeable entry of the ledger; `position` orders the events of one person."""

    event_id: str
    position: int
    recorded_at: datetime
    event: NewConsentEvent


@dataclass(frozen=True, slots=True)
class Identifier:
    """One identifier as a channel or the store names it; the value is personal and never logged."""

    kind: str  # email, phone, loyalty_number, device_id, external_id
    value: str

    def __repr__(self) -> str:
        return f"Identifier(kind={self.kind!r}, value=<withheld>)"


SEARCH_MODES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "email": frozenset({"email_domain"}),
        "phone": frozenset({"last4"}),
        "loyalty_number": frozenset({"last4", "prefix3"}),
        "external_id": frozenset({"last4", "prefix3"}),
        "device_id": frozenset({"last4"}),
    }
)
"""By kind of identifier, the parts by which it can be searched where the catalogue asks for it."""
