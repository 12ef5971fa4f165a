"""A second, deliberately naive reading of the policy language; shares nothing with the engine but the word lists.

It reads the YAML with `yaml.safe_load` and asks every rule in force, one after another, what it says about one
field in one situation of named facts. No bits, no tables, no memory of answers: slow and plain on purpose.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import yaml

from consent_gateway.vocabulary import AccessRequest, Choice, Facts

Told = tuple[str, str, str, str | None]
"""Effect, reason, rule and transform."""

EFFECTS = ["allow", "generalise", "mask", "pseudonymise", "withhold"]
STAGES = ["restriction", "erasure", "prohibition", "transfer", "objection", "refusal"]
RANK = [
    "limit_exception_requested_service",
    "financial_incentive_conflict",
    "pecr_statistics_exception",
    "opt_in_after_opt_out",
    "parental_consent",
    "minor_opt_in",
    "explicit_consent",
    "consent",
    "soft_opt_in",
    "casl_implied",
    "notice_opt_out",
    "opt_out_model",
    "legitimate_interest",
    "contract",
    "legal_obligation",
]
BY_STATUS = {
    "requested": "not_yet_given",
    "refused": "refused",
    "withdrawn": "withdrawn",
    "expired": "expired",
    "notice_changed": "notice_version_mismatch",
    "unknown_state": "unknown_state",
}
CONDITIONS = {
    "existing_customer",
    "own_similar_products",
    "objection_offered_at_collection",
    "sole_purpose_statistics",
    "information_given",
    "objection_offered",
}
SOFT = ["soft_opt_in", "existing_customer", "own_similar_products", "objection_offered_at_collection"]


@dataclass
class Said:
    """Everything that the rules in force say about one category."""

    bars: list[tuple[int, str, str]] = field(default_factory=list)  # stage, rule, reason
    grounds: list[tuple[int, int, str, str, bool]] = field(default_factory=list)  # -effect, rank, rule, reason, relabel
    defaults: list[tuple[int, str, str]] = field(default_factory=list)  # -conditions, rule, reason
    shapes: list[tuple[int, str]] = field(default_factory=list)  # -effect, rule


def listed(value: Any) -> list[str]:
    """A word or a list of words as a list."""
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def below(key: str, category: str) -> bool:
    """Whether the category is the key or lies below it."""
    return (category + ".").startswith(key + ".")


def within(day: date, thing: dict[str, Any]) -> bool:
    """Whether a dated thing holds on the day."""
    first, end = thing.get("effective_from"), thing.get("effective_to")
    return not (first and day < first) and not (end and day >= end)


def add_months(moment: datetime, months: int) -> datetime:
    """The date some months on, or the last day of that month."""
    total = moment.year * 12 + moment.month - 1 + months
    day = moment.day
    while True:
        try:
            return moment.replace(year=total // 12, month=total % 12 + 1, day=day)
        except ValueError:
            day -= 1


class NaivePolicy:
    """The policy of a set of YAML texts by path."""

    def __init__(self, sources: dict[str, str]) -> None:
        read = {path: yaml.safe_load(text) for path, text in sources.items()}
        self.purposes = {one["key"]: one for one in read["purposes.yaml"]["purposes"]}
        self.categories = read["categories.yaml"]["categories"]
        self.channels = {one["key"]: one for one in read["channels.yaml"]["channels"]}
        self.recipients = {one["key"]: one for one in read["recipients.yaml"]["recipients"]}
        self.transforms = read["transforms.yaml"]["transforms"]
        asking = [one for path, one in read.items() if path.startswith("notices/") and "choice" in one["kind"]]
        self.notices = {purpose: one for one in asking for purpose in one["purposes"]}
        self.packs = {one["pack"]: one for path, one in read.items() if path.startswith("packs/")}
        self.fields: dict[str, dict[str, Any]] = {}
        for number, collection in enumerate(read["catalogue.yaml"]["dataset"][0]["collections"]):
            prefix = "" if number == 0 else collection["name"] + "."  # the root stands first in our files
            for one in collection["fields"]:
                self.fields[prefix + one["name"]] = one
        self.spoken_of: dict[tuple[int, str, str], list[Any]] = {}
        self.named = {code for pack in self.packs.values() for code in listed(pack["jurisdictions"])}
        self.in_force: dict[tuple[str, date], tuple[dict[str, Any], list[Any]] | None] = {}

    # --- which rules hold where and when ---

    def leading(self, place: str, day: date) -> dict[str, Any] | None:
        """The pack that names the place, or its country, on the day."""
        for code in (place, place.partition("-")[0]):
            for pack in self.packs.values():
                if code in listed(pack["jurisdictions"]) and within(day, pack):
                    return pack
        return None

    def chain(self, pack: dict[str, Any]) -> list[dict[str, Any]]:
        """The pack and all that it extends."""
        found = [pack]
        for name in listed(pack.get("extends")):
            found += [one for one in self.chain(self.packs[name]) if one not in found]
        return found

    def rules(self, place: str, day: date) -> tuple[dict[str, Any], list[Any]] | None:
        """The leading pack and the rules in force, each with its pack; None for an unknown place."""
        if (place, day) not in self.in_force:
            self.in_force[place, day] = self.find_rules(place, day)
        return self.in_force[place, day]

    def find_rules(self, place: str, day: date) -> tuple[dict[str, Any], list[Any]] | None:
        """As `rules`, looked up afresh."""
        leading = self.leading(place, day)
        if leading is None:
            return None
        packs = [*self.chain(leading), *(one for one in self.packs.values() if one["jurisdictions"] == "everywhere")]
        packs = [pack for pack in packs if within(day, pack)]
        replaced = [word for pack in packs for word in listed(pack.get("replaces"))]
        held = [
            (rule, pack) for pack in packs for rule in pack["rules"] if rule["id"] not in replaced and within(day, rule)
        ]
        return leading, held

    def months(self, name: str, leading: dict[str, Any], day: date) -> int | None:
        """How many months a consent lasts: the first pack of the chain that says so."""
        for pack in self.chain(leading):
            if within(day, pack) and name in pack:
                return pack[name]
        return None

    # --- what holds of a person and a request ---

    def facts(self, request: AccessRequest, known: Facts, place: str, leading: dict[str, Any]) -> set[str]:
        """Names of the facts that hold."""
        now, day = request.time, request.time.astimezone(UTC).date()
        choice = known.choices.get(request.purpose, Choice(request.purpose))
        held = self.status(choice, now, leading, day)
        held |= {name for name in ("objected", "opted_out", "opted_in_again", "unsubscribed") if getattr(choice, name)}
        held |= {"paused"} if choice.paused_until and now < choice.paused_until else set()
        anything = known.choices.get("*")
        if anything:
            held |= {name for name in ("objected", "opted_out", "unsubscribed") if getattr(anything, name)}
        for name in ("restricted", "limited", "gpc", "member", "erasure_pending", "erased", "legal_hold"):
            if getattr(known, name):
                held.add(name)
        if request.gpc:
            held.add("gpc")
        if known.parental_authorisation:
            held.add("parental")
        if known.minor_born:
            born = known.minor_born
            for age in range(12, 19):
                birthday = (born.year + age, born.month, born.day)
                if (day.year, day.month, day.day) < birthday:
                    held.add(f"under_{age}")
        declared = set(choice.conditions) | set(listed(self.channels[request.channel].get("conditions")))
        held |= declared & CONDITIONS
        if request.recipient:
            held |= self.recipient_facts(self.recipients[request.recipient], place, leading)
        return held

    def status(self, choice: Choice, now: datetime, leading: dict[str, Any], day: date) -> set[str]:
        """The facts of a choice's status at a moment."""
        word = str(choice.status)
        if word not in ("granted", "granted_explicit", "soft_opt_in", "implied_existing_customer"):
            known = ("unknown", "requested", "refused", "withdrawn")
            return {word if word in known else "unknown_state"}
        if choice.given_at and choice.given_at > now:
            return {"unknown"}
        if self.expired(choice, word, now, leading, day):
            return {"expired"}
        accepted = self.accepted(choice.purpose, now)
        if word.startswith("granted") and accepted is not None and choice.notice_version not in accepted:
            return {"notice_changed"}
        if word == "granted_explicit":
            return {"granted", "granted_explicit"}
        return {"implied" if word == "implied_existing_customer" else word}

    def accepted(self, purpose: str, now: datetime) -> list[str] | None:
        """Versions of the purpose's notice that mean what is shown that day."""
        notice = self.notices.get(purpose)
        if notice is None:
            return None
        shown = notice["versions"][0]
        for one in notice["versions"]:
            if one["effective_from"] <= now.astimezone(UTC).date():
                shown = one
        every = [*notice["versions"], *notice.get("earlier", [])]
        return [one["version"] for one in every if one["meaning"] == shown["meaning"]]

    def expired(self, choice: Choice, word: str, now: datetime, leading: dict[str, Any], day: date) -> bool:
        """Whether what was given no longer holds."""
        if choice.valid_until and choice.valid_until <= now:
            return True
        months = self.months("consent_months", leading, day)
        if word == "implied_existing_customer":
            months = self.months("implied_months", leading, day) or months
        return bool(months) and (choice.given_at is None or add_months(choice.given_at, months) <= now)

    def recipient_facts(self, recipient: dict[str, Any], place: str, leading: dict[str, Any]) -> set[str]:
        """Role and transfer facts of a recipient."""
        held = {recipient["role"]} - {"controller"}
        abroad = recipient["country"] not in listed(leading["jurisdictions"])
        if recipient.get("safeguard") is None and abroad and recipient["country"] != place.partition("-")[0]:
            held.add("no_safeguard")
        return held

    # --- what one rule says ---

    def concerning(self, rules: list[Any], purpose: str, category: str) -> list[Any]:
        """Of the rules in force those that speak of the purpose and the category, found once."""
        key = (id(rules), purpose, category)
        if key not in self.spoken_of:
            self.spoken_of[key] = [one for one in rules if self.concerns(*one, purpose, category)]
        return self.spoken_of[key]

    def concerns(self, rule: dict[str, Any], pack: dict[str, Any], purpose: str, category: str) -> bool:
        """Whether a rule speaks of the purpose and the category."""
        if not self.names_purpose(listed(rule.get("purposes", "all")), purpose):
            return False
        if self.names_purpose(listed(rule.get("except_purposes")), purpose):
            return False
        if not self.names_category(listed(rule.get("categories", "all")), pack, category):
            return False
        return not self.names_category(listed(rule.get("except_categories")), pack, category)

    def names_purpose(self, words: list[str], purpose: str) -> bool:
        """Whether the words stand for the purpose."""
        groups = [f"group:{group}" for group in listed(self.purposes[purpose].get("groups"))]
        return any(word in ("all", purpose, *groups) for word in words)

    def names_category(self, words: list[str], pack: dict[str, Any], category: str) -> bool:
        """Whether the words stand for the category."""
        keys: list[str] = []
        for word in words:
            if word == "all":
                return True
            keys += self.sensitive(pack) if word == "sensitive" else [word]
        return any(below(key, category) for key in keys)

    def sensitive(self, pack: dict[str, Any]) -> list[str]:
        """The pack's list, or the nearest extended pack's."""
        return next((one["sensitive"] for one in self.chain(pack) if one.get("sensitive")), [])

    def holds(self, rule: dict[str, Any], pack: dict[str, Any], place: str, held: set[str]) -> tuple[bool, int]:
        """Whether `when`, `ages` and `roles` hold, and how many facts they look at."""
        looked: set[str] = set()
        true = True
        for literal in listed(rule.get("when")):
            name = literal.removeprefix("not ")
            looked.add(name)
            true = true and (name in held) == (name == literal)
        ages = rule.get("ages")
        if ages:
            under = f"under_{self.years(ages.get('below', 18), pack, place)}"
            looked.add(under)
            true = true and under in held
            start = self.years(ages.get("from") or 0, pack, place)
            if start:
                looked.add(f"under_{start}")
                true = true and f"under_{start}" not in held
        roles = listed(rule.get("roles"))
        if roles:
            role = next((one for one in ("processor", "third_party") if one in held), "controller")
            true = true and role in roles
            looked.add(role)
            if role == "controller":
                looked |= {"processor", "third_party"}
                looked.discard("controller")
        return true, len(looked)

    def years(self, age: int | str, pack: dict[str, Any], place: str) -> int:
        """An age in years; a named one by place, country or default."""
        if isinstance(age, int):
            return age
        named = pack["ages"][age]
        if isinstance(named, int):
            return named
        return next(named[code] for code in (place, place.partition("-")[0], "default") if code in named)

    def ask(self, rule: dict[str, Any], pack: dict[str, Any], place: str, held: set[str], said: Said) -> None:
        """Add what one rule says in the situation."""
        true, looked = self.holds(rule, pack, place, held)
        kind, name = rule["kind"], rule["id"]
        if kind in ("contract", "legal_obligation", "legitimate_interest") and rule.get("default_reason"):
            said.defaults.append((0, name, rule["default_reason"]))
        if not true:
            return
        effect = EFFECTS.index(rule.get("effect") or "allow")
        for reason, when, relabel in opens(rule, held):
            if when:
                said.grounds.append((-effect, RANK.index(reason), name, reason, relabel))
        for reason, extra, when in explains(rule, held):
            if when:
                said.defaults.append((-looked - extra, name, reason))
        for reason, stage, when in closes(rule, held):
            if when:
                said.bars.append((STAGES.index(rule.get("stage") or stage), name, rule.get("reason") or reason))
        if kind == "shape":
            said.shapes.append((-effect, name))

    # --- the verdicts ---

    def category(
        self, place: str, purpose: str, category: str, held: set[str], rules: list[Any]
    ) -> tuple[str, int, str, str, str]:
        """Effect, precedence of the reason, reason, rule for one category."""
        if not any(below(key, category) for key in self.purposes[purpose]["categories"]):
            special = any(one.get("special") and below(key, category) for key, one in self.categories.items())
            reason = "special_category" if special else "category_not_declared_for_purpose"
            return "withhold", 0, builtin(reason), reason, category
        said = Said()
        for rule, pack in self.concerning(rules, purpose, category):
            self.ask(rule, pack, place, held, said)
        effect, order, rule, reason = self.combine(said, held)
        return effect, order, rule, reason, category

    def combine(self, said: Said, held: set[str]) -> tuple[str, int, str, str]:
        """One verdict from all that was said."""
        if said.bars:
            stage, rule, reason = min(said.bars)
            return "withhold", 10 + stage, rule, reason
        real = [ground for ground in said.grounds if not ground[4]]
        if not real:
            if said.defaults:
                _, rule, reason = min(said.defaults)
                return "withhold", 100, rule, reason
            reason = next((BY_STATUS[name] for name in held if name in BY_STATUS), "no_consent")
            return "withhold", 100, builtin(reason), reason
        if "unknown_state" in held:
            return "withhold", 100, "gateway.unknown-state", "unknown_state"
        most_closed = min(real)[0]
        effect, rank, rule, reason, _ = min(one for one in said.grounds if one[0] == most_closed)
        tighter = [shape for shape in said.shapes if shape[0] < effect]
        if tighter:
            effect, rule = min(tighter)
        return EFFECTS[-effect], 200 + rank, rule, reason

    def verdicts(self, request: AccessRequest, known: Facts) -> dict[str, Told]:
        """Effect, reason, rule and transform for each field asked for."""
        if request.purpose not in self.purposes:
            return dict.fromkeys(request.fields, denied("unknown_purpose"))
        place = (known.jurisdiction or "").upper().replace("_", "-")
        place = self.known_code("GB" + place[2:] if place.partition("-")[0] == "UK" else place)
        found = self.rules(place, request.time.astimezone(UTC).date())
        refusal = denied("unknown_jurisdiction") if found is None else self.refusal(request)
        told: dict[str, Told] = {}
        held = self.facts(request, known, place, found[0]) if found and not refusal else set()
        for name in request.fields:
            if name not in self.fields:
                told[name] = denied("unknown_category")
            elif refusal or found is None:
                told[name] = refusal or denied("unknown_jurisdiction")
            else:
                told[name] = self.field_verdict(place, request.purpose, name, held, found[1])
        return told

    def refusal(self, request: AccessRequest) -> Told | None:
        """The denial of a channel or recipient that may not ask."""
        if request.channel not in self.channels:
            return denied("caller_not_permitted", "gateway.unknown-channel")
        if request.recipient:
            if request.recipient not in self.recipients:
                return denied("caller_not_permitted", "gateway.unknown-recipient")
            allowed = listed(self.recipients[request.recipient]["purposes"])
            if request.purpose not in allowed and "all" not in allowed:
                return denied("caller_not_permitted", "gateway.recipient-purpose")
        return None

    def field_verdict(self, place: str, purpose: str, name: str, held: set[str], rules: list[Any]) -> Told:
        """The most closed verdict of a field's categories."""
        every = [
            self.category(place, purpose, one, held, rules) for one in listed(self.fields[name]["data_categories"])
        ]
        effect, _, rule, reason, category = min(every, key=lambda one: (-EFFECTS.index(one[0]), one[1], one[2], one[4]))
        return self.carry_out(name, effect, rule, reason, category)

    def known_code(self, place: str) -> str:
        """The code itself where any pack names it at any time, else its country."""
        return place if place in self.named else place.partition("-")[0]

    def carry_out(self, name: str, effect: str, rule: str, reason: str, category: str) -> Told:
        """The verdict with its transform; without one nothing goes out."""
        if effect in ("allow", "withhold"):
            return effect, reason, rule, None
        own = (self.fields[name].get("meta") or {}).get("transforms") or {}
        if effect in own:
            return effect, reason, rule, own[effect] if isinstance(own[effect], str) else own[effect]["transform"]
        fitting = [
            (len(key), row["transform"])
            for row in self.transforms
            for key in listed(row["categories"])
            if row["effect"] == effect and below(key, category)
        ]
        return (effect, reason, rule, max(fitting)[1]) if fitting else denied("unknown_obligation")


def opens(rule: dict[str, Any], held: set[str]) -> list[tuple[str, bool, bool]]:
    """The grounds of a kind: reason, whether it speaks, whether it is a relabel."""
    kind, granted = rule["kind"], "granted" in held
    if kind in ("contract", "legal_obligation", "legitimate_interest"):
        return [(rule.get("reason") or kind, True, False)]
    if kind in ("consent", "sensitive_opt_in", "off_by_default"):
        child = granted and {"parental", "under_18"} <= held
        return [("consent", granted, False), ("parental_consent", child, True)]
    if kind == "opt_out_model":
        again = "opted_in_again" in held
        own = rule.get("reason") or "opt_out_model"
        return [(own, True, False), ("consent", granted, False), ("opt_in_after_opt_out", again, False)]
    if kind in ("ground", "relabel"):
        return [(rule["reason"], True, kind == "relabel")]
    lone = {
        "explicit_consent": ("explicit_consent", "granted_explicit" in held, False),
        "soft_opt_in": ("soft_opt_in", set(SOFT) <= held, False),
        "implied": ("casl_implied", "implied" in held, False),
        "minor_opt_in": ("minor_opt_in", granted, True),
    }
    return [lone[kind]] if kind in lone else []


def explains(rule: dict[str, Any], held: set[str]) -> list[tuple[str, int, bool]]:
    """The defaults of a kind: reason, how many facts more it looks at, whether it speaks."""
    kind, own, unknown = rule["kind"], rule.get("default_reason"), "unknown" in held
    if kind == "soft_opt_in":
        return [("soft_opt_in_conditions", 1, "soft_opt_in" in held)]
    found = []
    if kind == "explicit_consent":
        plain = "granted" in held and "granted_explicit" not in held
        found.append(("explicit_consent_required", 2, plain))
    if kind in ("sensitive_opt_in", "off_by_default"):
        found.append((own or kind, 1, unknown))
    elif own and kind in ("consent", "explicit_consent", "implied", "ground"):
        found.append((own, 1, unknown))
    return found


def closes(rule: dict[str, Any], held: set[str]) -> list[tuple[str, str, bool]]:
    """The bars of a kind: reason, stage, whether it speaks."""
    kind = rule["kind"]
    if kind == "parent":
        return [("parent_required", "prohibition", "parental" not in held)]
    if kind == "minor_opt_in":
        return [("minor_opt_in", "prohibition", "granted" not in held)]
    if kind in ("prohibited", "bar"):
        return [("", "prohibition", True)]
    if kind == "transfer":
        return [("transfer_without_safeguard", "transfer", "no_safeguard" in held)]
    return []


def builtin(reason: str) -> str:
    """The id of a built-in denial."""
    return "gateway." + reason.replace("_", "-")


def denied(reason: str, rule: str | None = None) -> Told:
    """A built-in denial."""
    return "withhold", reason, rule or builtin(reason), None
