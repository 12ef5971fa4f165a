"""Invents what customers did: accounts, orders, visits, devices, notes; rows only, in the order of their columns."""

import random
from collections.abc import Iterator
from datetime import timedelta

from consent_gateway.demo.customers import Customer, moment_between, stamp

Row = tuple[object, ...]

_PRODUCTS = (
    ("Flat white", 420),
    ("Espresso", 260),
    ("Filter coffee", 340),
    ("Oat cappuccino", 450),
    ("Cold brew", 480),
    ("Chai latte", 460),
    ("Cinnamon roll", 390),
    ("Almond croissant", 370),
    ("House blend 250 g", 990),
    ("Single origin Huila 250 g", 1390),
    ("Decaf 500 g", 1690),
    ("Reusable cup", 1290),
    ("Espresso machine Nova", 34_900),
)
_WEIGHTS = (20, 14, 16, 15, 8, 7, 8, 6, 6, 4, 2, 2, 1)
_AGENTS = ("a.hoffmann", "t.murphy", "s.rossi", "k.lindqvist", "m.okafor")
_NOTES = (
    "Asked when the next delivery comes. Told Thursday.",
    "Order arrived without the cinnamon roll, voucher sent.",
    "Wants the invoice again, sent by e-mail.",
    "Complains about two newsletters in one week.",
    "Card was charged twice, refund under way.",
    "Asked whether the almond croissant can be made without nuts.",
    "Moved house, address changed after check of the last order.",
    "Lost the loyalty card, new number issued.",
)
_PLATFORMS = ("ios", "android", "web")
_IP_BLOCKS = ("192.0.2", "198.51.100", "203.0.113")  # documentation ranges, RFC 5737


class Trade:
    """Invents the rows of the tables below `customers`, numbering them as it goes."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"trade/{seed}")  # noqa: S311 - invented purchases, nothing secret
        self._order = 0
        self._line = 0
        self._visit = 0
        self._note = 0

    def of(self, customer: Customer) -> Iterator[tuple[str, Row]]:
        """All rows of one customer, each with its table, parents first."""
        if customer.member:
            yield "loyalty_accounts", self._account(customer)
        yield from self._orders(customer)
        cookies: list[str] = []
        for row in self._devices(customer):
            cookies.append(str(row[3]))
            yield "devices", row
        for row in self._visits(customer, cookies):
            yield "visits", row
        for row in self._notes(customer):
            yield "support_notes", row

    def _account(self, customer: Customer) -> Row:
        points = int(self._chance.expovariate(1 / 400))
        tier = "gold" if points > 1200 else "silver" if points > 400 else "bronze"
        joined = moment_between(self._chance, customer.created_at)
        return (loyalty_number(customer.customer_id), customer.customer_id, tier, points, joined.date().isoformat())

    def _orders(self, customer: Customer) -> Iterator[tuple[str, Row]]:
        chance = self._chance
        count = 3 if customer.story else chance.choices(range(9), (14, 22, 22, 16, 10, 7, 4, 3, 2))[0]
        for _ in range(count):
            self._order += 1
            lines = list(self._lines(self._order))
            method = chance.choices(("card", "paypal", "cash", "invoice"), (60, 18, 17, 5))[0]
            channel = "till" if method == "cash" else chance.choice(("web_shop", "app", "till"))
            total = sum(quantity * price for _, _, _, quantity, price in lines)
            yield (
                "orders",
                (
                    self._order,
                    customer.customer_id,
                    stamp(moment_between(chance, customer.created_at)),
                    channel,
                    customer.home.name,
                    total,
                    customer.country.currency,
                    method,
                    f"{chance.randint(0, 9999):04d}" if method == "card" else None,
                ),
            )
            for line in lines:
                yield "order_lines", line

    def _lines(self, order: int) -> Iterator[tuple[int, int, str, int, int]]:
        for product, price in self._chance.choices(_PRODUCTS, _WEIGHTS, k=self._chance.randint(1, 3)):
            self._line += 1
            quantity = 1 if price > 10_000 else self._chance.choices((1, 2, 3), (75, 20, 5))[0]
            yield (self._line, order, product, quantity, price)

    def _devices(self, customer: Customer) -> Iterator[Row]:
        chance = self._chance
        count = 1 if customer.story else chance.choices((0, 1, 2), (40, 45, 15))[0]
        for _ in range(count):
            digits = f"{chance.getrandbits(128):032x}"
            yield (
                f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}",
                customer.customer_id,
                chance.choice(_PLATFORMS),
                f"mc_{chance.getrandbits(80):020x}",
                f"{chance.choice(_IP_BLOCKS)}.{chance.randint(1, 254)}",
                stamp(moment_between(chance, customer.created_at)),
            )

    def _visits(self, customer: Customer, cookies: list[str]) -> Iterator[Row]:
        chance = self._chance
        home = customer.home
        for _ in range(chance.choices(range(5), (25, 30, 25, 12, 8))[0]):
            self._visit += 1
            when = stamp(moment_between(chance, customer.created_at + timedelta(minutes=1)))
            if cookies and chance.random() < 0.5:
                yield (self._visit, customer.customer_id, when, "web", None, None, chance.choice(cookies))
                continue
            shop = chance.randint(1, 5)
            latitude = round(home.latitude + chance.uniform(-0.04, 0.04), 5)
            longitude = round(home.longitude + chance.uniform(-0.04, 0.04), 5)
            yield (self._visit, customer.customer_id, when, f"{home.name} {shop}", latitude, longitude, None)

    def _notes(self, customer: Customer) -> Iterator[Row]:
        if not customer.story and self._chance.random() > 0.18:
            return
        self._note += 1
        when = stamp(moment_between(self._chance, customer.created_at))
        yield (self._note, customer.customer_id, when, self._chance.choice(_AGENTS), self._chance.choice(_NOTES))


def loyalty_number(customer_id: int) -> str:
    """The number on a customer's loyalty card."""
    return f"MC{70_000_000 + customer_id * 7:08d}"
