"""How often customers of each market choose what, before the gateway; plain figures, no chance and no file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Habit:
    """A first choice on one purpose, how many of a hundred make it, and what some of them do later.

    `follows_flag` makes the shop's old column `marketing_opt_in` say who chose, `share` then counts among those.
    """

    purpose: str
    kind: str
    share: float
    later: str | None = None
    later_share: float = 0.0
    follows_flag: bool = False
    conditions: tuple[str, ...] = ()


SOFT_OPT_IN_CONDITIONS = ("existing_customer", "objection_offered_at_collection", "own_similar_products")

_OPT_IN = (
    Habit("email_marketing", "grant", 94, "withdraw", 13, follows_flag=True),
    Habit("email_marketing", "refuse", 22),
    Habit("email_marketing", "request", 3),
    Habit("sms_marketing", "grant", 14, "withdraw", 15),
    Habit("personalised_offers", "grant", 31, "withdraw", 9),
    Habit("personalised_offers", "refuse", 17),
    Habit("targeted_ads", "grant", 12, "withdraw", 20),
    Habit("targeted_ads", "refuse", 22),
    Habit("first_party_analytics", "object", 2),
    Habit("postal_marketing", "object", 3),
    Habit("location_offers", "grant", 7, "withdraw", 25),
    Habit("model_training", "refuse", 5),
)
_OPT_OUT = (
    Habit("email_marketing", "grant", 55, "unsubscribe", 14, follows_flag=True),
    Habit("email_marketing", "unsubscribe", 9),
    Habit("sms_marketing", "grant", 10, "withdraw", 18),
    Habit("targeted_ads", "opt_out", 16, "opt_in_again", 6),
    Habit("data_sale", "opt_out", 21),
    Habit("personalised_offers", "opt_out", 6),
    Habit("*", "gpc", 9),
)
_OTHER = (
    Habit("email_marketing", "grant", 70, "unsubscribe", 12, follows_flag=True),
    Habit("email_marketing", "unsubscribe", 5),
    Habit("sms_marketing", "grant", 8),
    Habit("targeted_ads", "opt_out", 7),
    Habit("personalised_offers", "grant", 20),
)

HABITS = {
    "opt_in": _OPT_IN,
    "gb": (
        Habit("email_marketing", "soft_opt_in", 62, "object", 9, conditions=SOFT_OPT_IN_CONDITIONS),
        # Collected before the form offered the box: such a soft opt-in must not open anything.
        Habit("email_marketing", "soft_opt_in", 6, conditions=SOFT_OPT_IN_CONDITIONS[:1]),
        *_OPT_IN[1:],
    ),
    "us": _OPT_OUT,
    "us-ca": (*_OPT_OUT, Habit("*", "limit", 5), Habit("location_offers", "opt_out", 3)),
    "ca": (
        Habit("email_marketing", "implied_existing_customer", 52, "unsubscribe", 8),
        Habit("email_marketing", "grant", 45, "unsubscribe", 10, follows_flag=True),
        Habit("targeted_ads", "opt_out", 9),
    ),
    "ca-qc": _OPT_IN,
    "other": _OTHER,
}
"""By market; the first habit that holds decides a purpose, later ones on the same purpose are passed over."""

_OPT_IN_COUNTRIES = frozenset({"DE", "AT", "FR", "NL", "ES", "IE", "CH", "BR", "IN"})


def market_of(country: str, region: str | None) -> str:
    """The market whose habits a customer has."""
    if country in _OPT_IN_COUNTRIES:
        return "opt_in"
    word = country.lower()
    if region is not None and f"{word}-{region.lower()}" in HABITS:
        return f"{word}-{region.lower()}"
    return word if word in HABITS else "other"
