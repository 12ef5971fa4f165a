"""The named people of the story, always the first customers of the demo; nothing about them is left to chance."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Named:
    """One person of the story. Their customer number is their place in `CAST`, counted from 1."""

    first_name: str
    last_name: str
    email: str
    birth_date: str
    country: str
    region: str | None
    city: str
    language: str
    part: str  # what they are in the story for
    street: str
    loyalty: bool = True
    marketing: bool = False
    allergies: str | None = None
    service_note: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a person of the story had told the retailer before the gateway came: a line of the old consent export."""

    customer_id: int
    purpose: str
    kind: str
    occurred_at: str
    channel: str
    how: str
    conditions: tuple[str, ...] = ()


CAST = (
    Named(
        "Anna",
        "Berger",
        "anna.berger@example.com",
        "1988-04-12",
        "DE",
        None,
        "Berlin",
        "de",
        "an adult in Berlin who said yes to e-mail and to nothing else",
        "Torstraße 42",
        marketing=True,
        service_note="calls back after six only",
    ),
    Named(
        "Maya",
        "Torres",
        "maya.torres@example.org",
        "1991-09-30",
        "US",
        "CA",
        "San Francisco",
        "en",
        "a Californian whose browser sends Global Privacy Control",
        "500 Valencia Street",
    ),
    Named(
        "Mia",
        "Schneider",
        "mia.schneider@example.net",
        "2012-06-03",
        "DE",
        None,
        "Hamburg",
        "de",
        "fourteen, in Germany, where consent starts at sixteen; no parent has agreed",
        "Lange Reihe 7",
        marketing=True,
    ),
    Named(
        "Claire",
        "Dubois",
        "claire.dubois@example.com",
        "1979-01-22",
        "FR",
        None,
        "Lyon",
        "fr",
        "disputes her record, so its use is restricted (Art. 18)",
        "12 rue Mercière",
        marketing=True,
    ),
    Named(
        "Émilie",
        "Tremblay",
        "emilie.tremblay@example.org",
        "1995-11-08",
        "CA",
        "QC",
        "Montréal",
        "fr",
        "lives in Quebec, where everything optional is off by default",
        "88 rue Saint-Paul",
    ),
    Named(
        "Oliver",
        "Hughes",
        "oliver.hughes@example.net",
        "1984-07-17",
        "GB",
        None,
        "Bristol",
        "en",
        "bought a coffee machine and was offered the tick box: the British soft opt-in",
        "3 Park Row",
        marketing=True,
    ),
    Named(
        "Jonas",
        "Weber",
        "jonas.weber@example.com",
        "2012-03-14",
        "DE",
        None,
        "Köln",
        "de",
        "fourteen, in Germany; his mother has agreed",
        "Venloer Straße 210",
        marketing=True,
    ),
    Named(
        "Lukas",
        "Gruber",
        "lukas.gruber@example.org",
        "2012-08-25",
        "AT",
        None,
        "Wien",
        "de",
        "fourteen, in Austria, where consent starts at fourteen",
        "Mariahilfer Straße 101",
        marketing=True,
    ),
    Named(
        "Ethan",
        "Nguyen",
        "ethan.nguyen@example.net",
        "1990-12-01",
        "US",
        "CA",
        "Los Angeles",
        "en",
        "a Californian whose signal is on file since last year",
        "740 South Broadway",
    ),
    Named(
        "Sofie",
        "Jansen",
        "familie.jansen@example.com",
        "1986-05-19",
        "NL",
        None,
        "Utrecht",
        "nl",
        "shares one e-mail address with Bram",
        "Oudegracht 120",
        marketing=True,
        allergies="noten",
    ),
    Named(
        "Bram",
        "Jansen",
        "familie.jansen@example.com",
        "1985-02-02",
        "NL",
        None,
        "Utrecht",
        "nl",
        "shares one e-mail address with Sofie",
        "Oudegracht 120",
        loyalty=False,
    ),
    Named(
        "Ava",
        "Collins",
        "ava.collins@example.org",
        "2010-02-11",
        "US",
        "CO",
        "Denver",
        "en",
        "sixteen, in Colorado, where minors must opt in",
        "1600 Wynkoop Street",
    ),
    Named(
        "Noah",
        "Brooks",
        "noah.brooks@example.net",
        "2009-09-09",
        "US",
        "MD",
        "Baltimore",
        "en",
        "seventeen, in Maryland, where no consent opens advertising to minors",
        "25 Light Street",
    ),
)

TOLD = (
    Told(1, "email_marketing", "grant", "2025-03-02T09:15:00Z", "web_shop", "web_form"),
    Told(1, "personalised_offers", "refuse", "2025-03-02T09:15:00Z", "web_shop", "web_form"),
    Told(3, "email_marketing", "grant", "2026-02-14T16:40:00Z", "app", "app_form"),
    Told(4, "email_marketing", "grant", "2025-06-11T08:05:00Z", "web_shop", "web_form"),
    Told(4, "*", "restrict", "2026-11-03T13:30:00Z", "call_centre", "spoken"),
    Told(
        6,
        "email_marketing",
        "soft_opt_in",
        "2026-05-20T11:20:00Z",
        "web_shop",
        "web_form",
        ("existing_customer", "objection_offered_at_collection", "own_similar_products"),
    ),
    Told(7, "*", "parental_authorisation", "2026-01-10T17:00:00Z", "web_shop", "web_form"),
    Told(7, "email_marketing", "grant", "2026-01-10T17:02:00Z", "web_shop", "web_form"),
    Told(8, "email_marketing", "grant", "2026-09-01T15:10:00Z", "app", "app_form"),
    Told(9, "*", "gpc", "2025-10-04T20:00:00Z", "web_shop", "signal"),
    Told(10, "email_marketing", "grant", "2025-12-01T10:00:00Z", "web_shop", "web_form"),
    Told(10, "allergen_safety", "grant_explicit", "2025-12-01T10:01:00Z", "web_shop", "web_form"),
    Told(13, "targeted_ads", "grant", "2026-04-07T21:15:00Z", "app", "app_form"),
)
