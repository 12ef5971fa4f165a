"""Invents the retailer's customers one after another from a seeded source of chance; writes nothing anywhere."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import phonenumbers

from consent_gateway.demo.cast import CAST, Named
from consent_gateway.demo.names import Pool, draw_pool
from consent_gateway.demo.places import CITIES, COUNTRIES, City, Country, fill, phone

TODAY = date(2026, 11, 20)
"""The day on which the demo's data stands; nothing in it is later."""

_NOON = datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC)
_DOMAINS = ("example.com", "example.org", "example.net")  # reserved by RFC 2606
_NO_PHONE = ("-", "kein Telefon", "n/a", "siehe Notiz")
_NO_DOUBLE_ZERO = (1, 55, 61, 81)  # dialled abroad with another prefix
_ALLERGIES = ("Nüsse", "Laktose", "nuts", "lactose", "soy", "Gluten", "sesame", "fruits à coque")
_SERVICE_NOTES = (
    "hard of hearing, write instead",
    "in a dispute about order, ask team lead first",
    "calls for her mother, proxy on file",
)
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXY"


@dataclass(frozen=True, slots=True)
class Customer:
    """One row of `customers` before it is written; `home` is the city whose shop they use."""

    customer_id: int
    first_name: str
    last_name: str
    email: str | None
    phone: str | None
    birth_date: date | None
    language: str
    country: Country
    home: City
    street: str
    postcode: str
    allergies: str | None
    service_note: str | None
    marketing_opt_in: bool
    created_at: datetime
    updated_at: datetime
    member: bool
    story: bool = False

    @property
    def age(self) -> int | None:
        """Age in whole years on `TODAY`; None where the birthday was never asked."""
        if self.birth_date is None:
            return None
        passed = (TODAY.month, TODAY.day) >= (self.birth_date.month, self.birth_date.day)
        return TODAY.year - self.birth_date.year - (not passed)

    def row(self) -> tuple[object, ...]:
        """The values of one row of `customers`, in the order of its columns."""
        return (
            self.customer_id,
            f"C-{self.customer_id:06d}",
            self.first_name,
            self.last_name,
            self.email,
            self.phone,
            self.birth_date.isoformat() if self.birth_date else None,
            self.language,
            self.country.code,
            self.home.region,
            self.street,
            self.postcode,
            self.home.name,
            self.allergies,
            self.service_note,
            int(self.marketing_opt_in),
            stamp(self.created_at),
            stamp(self.updated_at),
        )


def stamp(moment: datetime) -> str:
    """A time as the shop writes it: ISO 8601, UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_between(chance: random.Random, first: datetime, last: datetime = _NOON) -> datetime:
    """A moment from `first` to `last`, to the second."""
    return first + timedelta(seconds=chance.randint(0, max(0, int((last - first).total_seconds()))))


def invent(count: int, seed: int) -> Iterator[Customer]:
    """`count` customers in order of number, the cast of the story first; equal for equal seeds."""
    return _Inventor(seed).customers(count)


class _Inventor:
    """Holds the pools and the source of chance while customers are invented."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - invented people, nothing secret
        self._asides = random.Random(f"asides/{seed}")  # noqa: S311 - as above
        self._pools: Mapping[str, Pool] = {one.locale: draw_pool(one.locale, seed) for one in COUNTRIES}
        self._pools = {**self._pools, "fr_CA": draw_pool("fr_CA", seed)}
        self._shares = [country.share for country in COUNTRIES]
        self._cities = {one.code: [city for city in CITIES if city.country == one.code] for one in COUNTRIES}
        self._phones_given = dict.fromkeys(self._cities, 0)

    def customers(self, count: int) -> Iterator[Customer]:
        previous: Customer | None = None
        for number in range(1, count + 1):
            if number <= len(CAST):
                previous = self._named(number, CAST[number - 1])
            elif previous is not None and not previous.story and self._chance.random() < 0.03:
                previous = self._same_household(number, previous)
            else:
                previous = self._anyone(number)
            yield previous

    def _named(self, number: int, person: Named) -> Customer:
        country = next(one for one in COUNTRIES if one.code == person.country)
        home = next(city for city in self._cities[country.code] if city.name == person.city)
        created = datetime(2024, 1 + number % 12, 5 + number, 10, 30, tzinfo=UTC)
        return Customer(
            customer_id=number,
            first_name=person.first_name,
            last_name=person.last_name,
            email=person.email,
            phone=self._number(country),
            birth_date=date.fromisoformat(person.birth_date),
            language=person.language,
            country=country,
            home=home,
            street=person.street,
            postcode=self._postcode(home),
            allergies=person.allergies,
            service_note=person.service_note,
            marketing_opt_in=person.marketing,
            created_at=created,
            updated_at=created + timedelta(days=300),
            member=person.loyalty,
            story=True,
        )

    def _anyone(self, number: int) -> Customer:
        chance = self._chance
        country = chance.choices(COUNTRIES, self._shares)[0]
        cities = self._cities[country.code]
        home = chance.choices(cities, [city.weight for city in cities])[0]
        pool = self._pools["fr_CA" if home.region == "QC" else country.locale]
        first, first_ascii = chance.choice(pool.first)
        last, last_ascii = chance.choice(pool.last)
        created = moment_between(chance, datetime(2019, 3, 1, tzinfo=UTC))
        birth_date = self._birth_date()
        return Customer(
            customer_id=number,
            first_name=first,
            last_name=last,
            email=self._email(first_ascii, last_ascii, number),
            phone=self._written(self._number(country)),
            birth_date=birth_date,
            language=self._language(country, home),
            country=country,
            home=home,
            street=self._street(country, chance.choice(pool.streets)),
            postcode=self._postcode(home),
            allergies=chance.choice(_ALLERGIES) if chance.random() < 0.02 else None,
            service_note=self._asides.choice(_SERVICE_NOTES) if self._asides.random() < 0.03 else None,
            marketing_opt_in=chance.random() < 0.42,
            created_at=created,
            updated_at=moment_between(chance, created),
            member=chance.random() < 0.6,
        )

    def _same_household(self, number: int, other: Customer) -> Customer:
        """Someone living with the customer before: same name, address and e-mail address; a child now and then."""
        first, _ = self._chance.choice(self._pools[other.country.locale].first)
        child = other.birth_date is not None and self._chance.random() < 0.3
        return replace(
            other,
            customer_id=number,
            first_name=first,
            phone=None if child else self._number(other.country),
            birth_date=self._minor_birth_date() if child else self._birth_date(),
            allergies=None,
            service_note=None,
            member=self._chance.random() < 0.6,
        )

    def _birth_date(self) -> date | None:
        draw = self._chance.random()
        if draw < 0.06:
            return None  # the till never asked
        if draw < 0.085:
            return self._minor_birth_date()
        return TODAY - timedelta(days=self._chance.randint(18 * 366, 84 * 365))

    def _minor_birth_date(self) -> date:
        return TODAY - timedelta(days=self._chance.randint(10 * 366, 18 * 365 - 1))

    def _email(self, first: str, last: str, number: int) -> str | None:
        draw = self._chance.random()
        if draw < 0.04:
            return None
        name = ".".join(part for part in (first, last) if part) or "customer"
        address = f"{name}.{number}@{self._chance.choice(_DOMAINS)}"
        if draw < 0.042:
            return address.replace("@", " at ")  # what people write on paper cards
        return address.capitalize() if draw < 0.06 else address

    def _language(self, country: Country, home: City) -> str:
        if home.language is not None and self._chance.random() < 0.85:
            return home.language
        words, weights = zip(*country.languages, strict=True)
        return str(self._chance.choices(words, weights)[0])

    def _street(self, country: Country, name: str) -> str:
        number = self._chance.randint(1, 160)
        return f"{number} {name}" if country.number_first else f"{name} {number}"

    def _postcode(self, home: City) -> str:
        text = fill(home.postcode, self._chance.randint(0, 99_999))
        return "".join(self._chance.choice(_LETTERS) if letter == "@" else letter for letter in text)

    def _number(self, country: Country) -> str | None:
        taken = self._phones_given[country.code]
        self._phones_given[country.code] = taken + 1
        return phone(country, taken)

    def _written(self, number: str | None) -> str | None:
        """The number as it came in over the years: mostly E.164, sometimes as people write it, sometimes useless."""
        draw = self._chance.random()
        if number is None or draw < 0.08:
            return None
        if draw < 0.082:
            return self._chance.choice(_NO_PHONE)
        if draw > 0.13:
            return number
        parsed = phonenumbers.parse(number)
        if draw < 0.115:
            return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
        prefix = "+" if parsed.country_code in _NO_DOUBLE_ZERO else "00"
        return f"{prefix}{parsed.country_code} {parsed.national_number}"
