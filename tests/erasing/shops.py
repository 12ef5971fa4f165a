"""Generates retailers' databases that make erasing hard, from a number: schema, rows, catalogue, planted canaries.

One customer of each is to be erased. Every value of theirs is a canary, and so is what stands beside their traces in
tables nobody declared, in free text about others, in files. The same number gives the same shop.
"""

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

TARGET = 2
PEOPLE = (1, 2, 3, 4)
TYPES = {
    "int": ("INTEGER", "INTEGER"),
    "text": ("TEXT", "TEXT"),
    "short": ("VARCHAR(24)", "VARCHAR(24)"),
    "json": ("JSON", "JSONB"),
    "bytes": ("BLOB", "BYTEA"),
    "date": ("DATE", "DATE"),
    "money": ("NUMERIC(10,2)", "NUMERIC(10,2)"),
    "odd": ("INTERVAL_TEXT", "TEXT[]"),
}


@dataclass
class Column:
    """One column; `categories` None for one that the catalogue does not name."""

    name: str
    kind: str = "text"
    null: bool = True
    unique: bool = False
    check: str = ""
    categories: list[str] | None = None
    identity: str | None = None
    typed: bool = True
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass
class Key:
    """A foreign key of the store."""

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]
    on_delete: str = ""
    deferred: bool = False


@dataclass
class Table:
    """One table; `reference` is what the catalogue says, (column, `table.column`)."""

    name: str
    columns: list[Column]
    key: tuple[str, ...]
    keys: list[Key] = field(default_factory=list)
    declared: bool = True
    reference: tuple[str, str] | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


class Shop:
    """One generated retailer."""

    def __init__(self, number: int) -> None:
        self.random = random.Random(number)
        self.number = number
        self.tables: list[Table] = []
        self.canaries: dict[str, str] = {}
        self.shared = False  # whether two customers have one address
        self.files: dict[str, bytes] = {}
        self.schedules: list[dict[str, Any]] = []
        self.email = {one: f"{self.word('mail')}@shop.example" for one in PEOPLE}
        self.name = {one: (self.word("First"), self.word("Last")) for one in PEOPLE}
        self.phone = {one: f"+4917{self.random.randrange(10**8, 10**9)}" for one in PEOPLE}
        self.canaries |= {self.email[TARGET]: "email", self.phone[TARGET][-10:]: "phone"}
        self.build()

    def chance(self, share: float) -> bool:
        """True for about this share of shops."""
        return self.random.random() < share

    def word(self, begins: str) -> str:
        """A word nobody else has."""
        return f"{begins}{self.random.randrange(16**9):09x}"

    def value(self, person: int | None, place: str) -> str:
        """A value of a person; a canary if they are the one to be erased."""
        text = self.word("cnry" if person == TARGET else "other")
        if person == TARGET:
            self.canaries[text] = place
        return text

    # -- the schema

    def build(self) -> None:
        """Draw the whole shop."""
        root = self.root()
        declared = [root]
        for at in range(self.random.randrange(1, 6)):
            declared.append(self.child(at, self.random.choice(declared)))
        for maker, share in (
            (self.ring, 0.3),
            (self.messages, 0.2),
            (self.composite, 0.3),
            (self.orphans, 0.3),
            (self.mistagged, 0.25),
            (self.undeclared, 0.25),
            (self.stale_export, 0.2),
            (self.mention, 0.2),
            (self.file, 0.15),
            (self.tree, 0.3),
        ):
            if self.chance(share):
                maker()

    def root(self) -> Table:
        """The customers."""
        table = Table(
            "customers",
            [
                Column("customer_id", "int", null=False, categories=["user.unique_id"]),
                Column("email", categories=["user.contact.email"], identity="email"),
                Column("phone", "text", categories=["user.contact.phone_number"], identity="phone"),
                Column("first_name", null=False, categories=["user.name.first"]),
                Column("last_name", null=False, categories=["user.name.last"]),
            ],
            ("customer_id",),
        )
        table.meta["root"] = True
        strategy = self.random.choice(["delete", "delete", "delete", "overwrite", "soft_delete"])
        if strategy != "delete":
            table.meta["erasure"] = strategy
        if strategy == "soft_delete":
            table.meta["mark"] = "deleted_at"
            table.columns.append(Column("deleted_at"))
        optional = [
            Column("city", categories=["user.contact.address.city"], typed=False),
            Column("remark"),
            Column("profile", "json", categories=["user.demographic.profile"], typed=False),
            Column("scan", "bytes", categories=["user.content.self_image"], typed=False),
            Column("handle", "short", null=False, unique=True, categories=["user.account.username"]),
            Column("level", null=False, categories=["user.account"], check="level IN ('gold', 'none')"),
            Column("loginmail", categories=["system.operations"]),
            Column("born", "date", null=False, categories=["user.demographic.date_of_birth"]),
            Column("tags", "odd", categories=["user.behavior"], typed=False),
        ]
        for one in optional:
            if self.chance(0.35):
                table.columns.append(one)
                if one.name == "level" and self.chance(0.7):
                    one.meta["erased_as"] = "none"
        if self.chance(0.25):
            self.addresses(table)
        if self.chance(0.25):
            table.columns.append(Column("referred_by", "int"))
            table.keys.append(Key(("referred_by",), "customers", ("customer_id",)))
        self.tables.append(table)
        table.rows = [self.customer(table, person) for person in PEOPLE]
        return table

    def customer(self, table: Table, person: int) -> dict[str, Any]:
        """The row of one customer."""
        row = {one.name: self.cell(one, person, table.name) for one in table.columns}
        own = {
            "customer_id": person,
            "email": self.email[person],
            "phone": self.phone[person],
            "first_name": self.name[person][0],
            "last_name": self.name[person][1],
            "loginmail": self.email[person],
            "address_id": 10 if person in {1, TARGET} and self.shared else 10 + person,
            "referred_by": {1: TARGET, TARGET: 3}.get(person),
            "deleted_at": None,
        }
        return row | {name: value for name, value in own.items() if name in row}

    def addresses(self, root: Table) -> None:
        """Rows that the customer points to; sometimes two customers to one."""
        self.shared = self.chance(0.5)
        root.columns.append(Column("address_id", "int", categories=["user.unique_id"]))
        root.keys.append(Key(("address_id",), "addresses", ("id",)))
        table = Table(
            "addresses",
            [
                Column("id", "int", null=False, categories=["user.unique_id"]),
                Column("street", categories=["user.contact.address.street"]),
            ],
            ("id",),
            reference=("id", "customers.address_id"),
        )
        for at in (10, 11, 12, 13, 14):
            owner = TARGET if at == 10 + TARGET or (at == 10 and self.shared) else None
            table.rows.append({"id": at, "street": self.value(owner, "addresses")})
        self.tables.append(table)

    def child(self, at: int, parent: Table) -> Table:
        """A table below another, of a random kind."""
        name = f"{self.random.choice(['orders', 'visits', 'notes', 'devices'])}_{at}"
        bound, null = self.chance(0.7), self.chance(0.4)
        own = f"{name}_id"
        link = f"{parent.name}_ref"
        table = Table(
            name,
            [
                Column(own, "int", null=False, categories=["user.unique_id"]),
                Column(link, "int", null=null, categories=["user.unique_id"]),
                Column("note", null=self.chance(0.5), categories=["user.content.private"], typed=self.chance(0.5)),
                Column("on_day", "date", null=False, categories=["user.behavior"]),
                Column("total", "money", null=False, categories=["user.payment"]),
            ],
            (own,),
            reference=(link, f"{parent.name}.{parent.key[0]}"),
        )
        if bound:
            action = self.random.choice(["", "", "", " ON DELETE CASCADE", " ON DELETE SET NULL" if null else ""])
            table.keys.append(Key((link,), parent.name, (parent.key[0],), action))
        if self.chance(0.3):
            table.columns.append(Column("spare"))
        if self.chance(0.25):
            table.columns.append(Column("code", "short", null=False, unique=True, categories=["user.unique_id"]))
        if self.chance(0.15):
            table.meta["erasure"] = "overwrite"
        if self.chance(0.2):
            self.keep(name)
        number = 0
        for row in parent.rows:
            person = self.owner(parent, row)
            for _ in range(self.random.randrange(0, 3)):
                number += 1
                made = {one.name: self.cell(one, person, name) for one in table.columns}
                table.rows.append(made | {own: number, link: row[parent.key[0]]})
        self.tables.append(table)
        return table

    def keep(self, table: str) -> None:
        """A law that keeps some of a table's fields, for some of its rows already over."""
        self.schedules.append(
            {
                "id": f"books-{len(self.schedules)}",
                "purpose": "legal_tax",
                "source": "test",
                "effective_from": "2020-01-01",
                "period": "P8Y",
                "counted_from": f"{table}.on_day",
                "ground": "legal_obligation",
                "fields": [f"{table}.total", f"{table}.on_day"],
            }
        )

    def tree(self) -> None:
        """Comments on comments: rows of one table that hang on each other, some of other people on the customer's."""
        null = self.chance(0.7)
        table = Table(
            "comments",
            [
                Column("comment_id", "int", null=False, categories=["user.unique_id"]),
                Column("customer_id", "int", categories=["user.unique_id"]),
                Column("parent_id", "int", null=null, categories=["user.unique_id"]),
                Column("body", categories=["user.content.public"]),
            ],
            ("comment_id",),
            [Key(("customer_id",), "customers", ("customer_id",)), Key(("parent_id",), "comments", ("comment_id",))],
            reference=("customer_id", "customers.customer_id"),
        )
        writers = [TARGET, TARGET, 1, TARGET, None]
        for at, writer in enumerate(writers, 1):
            above = at - 1 or (None if null else 1)
            person = TARGET if writer is None else writer
            body = self.value(person, "comments")
            table.rows.append({"comment_id": at, "customer_id": writer, "parent_id": above, "body": body})
        self.tables.append(table)

    def ring(self) -> None:
        """Two tables that point to each other."""
        first_null, second_null = self.random.choice([(True, False), (False, True), (True, True), (False, False)])
        deferred = not first_null and not second_null
        carts = Table(
            "carts",
            [
                Column("cart_id", "int", null=False, categories=["user.unique_id"]),
                Column("customer_id", "int", null=False, categories=["user.unique_id"]),
                Column("item_id", "int", null=first_null, categories=["user.behavior"]),
                Column("wish", categories=["user.content.private"]),
            ],
            ("cart_id",),
            [
                Key(("customer_id",), "customers", ("customer_id",)),
                Key(("item_id",), "items", ("item_id",), deferred=deferred),
            ],
            reference=("customer_id", "customers.customer_id"),
        )
        items = Table(
            "items",
            [
                Column("item_id", "int", null=False, categories=["user.unique_id"]),
                Column("cart_id", "int", null=second_null, categories=["user.unique_id"]),
                Column("text", categories=["user.content.private"]),
            ],
            ("item_id",),
            [Key(("cart_id",), "carts", ("cart_id",), deferred=deferred)],
            reference=("cart_id", "carts.cart_id"),
        )
        for person in PEOPLE:
            wish, text = self.value(person, "carts"), self.value(person, "items")
            carts.rows.append({"cart_id": person, "customer_id": person, "item_id": person, "wish": wish})
            items.rows.append({"item_id": person, "cart_id": person, "text": text})
        self.tables += [carts, items]

    def messages(self) -> None:
        """Rows that are two people's."""
        null = self.chance(0.5)
        table = Table(
            "messages",
            [
                Column("id", "int", null=False, categories=["user.unique_id"]),
                Column("sender_id", "int", null=null, categories=["user.unique_id"]),
                Column("receiver_id", "int", null=null, categories=["user.unique_id"]),
                Column("text", categories=["user.content.private"]),
            ],
            ("id",),
            [
                Key(("sender_id",), "customers", ("customer_id",)),
                Key(("receiver_id",), "customers", ("customer_id",)),
            ],
            reference=("sender_id", "customers.customer_id"),
        )
        for at, (sender, receiver) in enumerate([(TARGET, 1), (1, TARGET), (3, 4)], 1):
            person = TARGET if TARGET in {sender, receiver} else None
            text = self.value(person, "messages")
            table.rows.append({"id": at, "sender_id": sender, "receiver_id": receiver, "text": text})
        self.tables.append(table)

    def composite(self) -> None:
        """A key of two columns, and a reference by both."""
        lines = Table(
            "baskets",
            [
                Column("customer_id", "int", null=False, categories=["user.unique_id"]),
                Column("line_no", "int", null=False, categories=["user.behavior"]),
                Column("text", categories=["user.content.private"]),
            ],
            ("customer_id", "line_no"),
            [Key(("customer_id",), "customers", ("customer_id",))],
            reference=("customer_id", "customers.customer_id"),
        )
        returns = Table(
            "returns",
            [
                Column("return_id", "int", null=False, categories=["user.unique_id"]),
                Column("customer_id", "int", null=False, categories=["user.unique_id"]),
                Column("line_no", "int", null=False, categories=["user.behavior"]),
                Column("reason", categories=["user.content.private"]),
            ],
            ("return_id",),
            [Key(("customer_id", "line_no"), "baskets", ("customer_id", "line_no"))],
            reference=("line_no", "baskets.line_no"),
        )
        for person in PEOPLE:
            for line in (1, 2):
                text = self.value(person, "baskets")
                lines.rows.append({"customer_id": person, "line_no": line, "text": text})
            reason = self.value(person, "returns")
            returns.rows.append({"return_id": person, "customer_id": person, "line_no": 2, "reason": reason})
        self.tables += [lines, returns]

    def orphans(self) -> None:
        """Rows that lost their customer and carry an identifier; some point to nobody there is."""
        dangling = self.chance(0.5)
        table = Table(
            "wishes",
            [
                Column("wish_id", "int", null=False, categories=["user.unique_id"]),
                Column("customer_id", "int", categories=["user.unique_id"]),
                Column("address", categories=["user.contact.email"], identity="email"),
                Column("text", categories=["user.content.private"]),
            ],
            ("wish_id",),
            reference=("customer_id", "customers.customer_id"),
        )
        for at, person in enumerate((TARGET, 3, TARGET), 1):
            lost = 99 if dangling else None
            text = self.value(person, "wishes")
            row = {
                "wish_id": at,
                "customer_id": person if at == 3 else lost,
                "address": self.email[person],
                "text": text,
            }
            table.rows.append(row)
        self.tables.append(table)

    def mistagged(self) -> None:
        """An identifier that the catalogue calls something else, in a row that nothing else leads to."""
        table = Table(
            "tickets",
            [
                Column("ticket_id", "int", null=False, categories=["system.operations"]),
                Column("customer_id", "int", categories=["user.unique_id"]),
                Column("mail", categories=["system.operations"]),
                Column("text", categories=["system.operations"]),
            ],
            ("ticket_id",),
            reference=("customer_id", "customers.customer_id"),
        )
        linked = self.chance(0.5)
        for at, person in enumerate((TARGET, 1), 1):
            text = self.value(person, "tickets")
            owner = person if linked else None
            table.rows.append({"ticket_id": at, "customer_id": owner, "mail": self.email[person], "text": text})
        self.tables.append(table)

    def undeclared(self) -> None:
        """A table that nobody declared, with or without a foreign key."""
        bound = self.chance(0.5)
        action = self.random.choice(["", " ON DELETE CASCADE", " ON DELETE SET NULL"])
        table = Table(
            "survey",
            [Column("id", "int", null=False), Column("customer_id", "int"), Column("answer")],
            ("id",),
            [Key(("customer_id",), "customers", ("customer_id",), action)] if bound else [],
            declared=False,
        )
        for person in PEOPLE:
            table.rows.append({"id": person, "customer_id": person, "answer": self.value(person, "survey")})
        self.tables.append(table)

    def stale_export(self) -> None:
        """A copy that somebody made once, without a key."""
        table = Table("export_2024", [Column("who"), Column("what"), Column("raw", "json")], (), declared=False)
        for person in PEOPLE:
            first, last = self.name[person]
            who = self.random.choice([self.email[person].upper(), f"{first} {last}", f"tel {self.phone[person]}"])
            raw = json.dumps({"line": [self.email[person]]})
            table.rows.append({"who": who, "what": self.value(person, "export_2024"), "raw": raw})
        self.tables.append(table)

    def mention(self) -> None:
        """The customer in what others wrote."""
        table = Table(
            "diary",
            [
                Column("id", "int", null=False, categories=["user.unique_id"]),
                Column("customer_id", "int", null=False, categories=["user.unique_id"]),
                Column("text", categories=["user.content.private"]),
            ],
            ("id",),
            [Key(("customer_id",), "customers", ("customer_id",))],
            reference=("customer_id", "customers.customer_id"),
        )
        first, last = self.name[TARGET]
        national = "0" + self.phone[TARGET][3:]
        told = [self.email[TARGET], f"{last}, {first}", f"{national[:4]}/{national[4:7]} {national[7:]}"]
        text = f"met\n{self.random.choice(told)}; {self.value(TARGET, 'diary')}"
        table.rows.append({"id": 1, "customer_id": 3, "text": text})
        table.rows.append({"id": 2, "customer_id": TARGET, "text": self.value(TARGET, "diary")})
        self.tables.append(table)

    def file(self) -> None:
        """An export that lies in a folder."""
        content = f"mail;what\n{self.email[TARGET]};{self.value(TARGET, 'file')}\n".encode()
        packed = self.chance(0.4)
        self.files["old/customers.csv" + (".gz" if packed else "")] = gzip.compress(content) if packed else content

    # -- rows

    def owner(self, table: Table, row: dict[str, Any]) -> int | None:
        """Whose row it is."""
        for _ in range(20):
            if table.name == "customers":
                return int(row["customer_id"])
            if table.reference is None:
                return None
            column, pointer = table.reference
            parent = next(one for one in self.tables if one.name == pointer.partition(".")[0])
            key = pointer.partition(".")[2]
            found = next((one for one in parent.rows if one[key] == row[column]), None)
            if found is None:
                return None
            table, row = parent, found
        return None

    def cell(self, column: Column, person: int | None, table: str) -> Any:
        """A value for a column."""
        plain = {"int": lambda: None, "date": lambda: self.random.choice(["2012-03-04", "2024-05-06"])}
        plain["money"] = lambda: "12.50"
        if column.kind in plain:
            return plain[column.kind]()
        if column.check:
            return "gold"
        text = self.value(person, table)
        wrapped = {
            "json": json.dumps({"deep": [{"er": text}], "ünd": 1}),
            "bytes": f"\x00\x01{text}\x02".encode(),
            "odd": [text],
        }
        return wrapped.get(column.kind, text)

    # -- what it becomes

    def catalogue(self) -> dict[str, Any]:
        """The Fides dataset of the declared tables."""
        return {"dataset": [{"fides_key": "shop", "collections": [_collection(t) for t in self.tables if t.declared]}]}

    def load(self, engine: sa.Engine) -> None:
        """Make the tables and rows. Foreign keys come last where they can, so that rings can be loaded."""
        postgres = engine.dialect.name == "postgresql"
        with engine.connect() as connection:
            if not postgres:
                connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            for table in self.tables:
                connection.exec_driver_sql(_create(table, postgres))
            for table in self.tables:
                for row in table.rows:
                    _insert(connection, table, row, postgres)
            for statement in _alter(self.tables) if postgres else ():
                connection.exec_driver_sql(statement)
            connection.commit()


def _collection(table: Table) -> dict[str, Any]:
    fields = []
    for column in table.columns:
        if column.categories is None:
            continue
        fides: dict[str, Any] = {"data_type": column.kind} if column.typed else {}
        if column.name == table.key[-1]:
            fides["primary_key"] = True
        if column.identity:
            fides["identity"] = column.identity
        if table.reference and table.reference[0] == column.name:
            fides["references"] = [{"dataset": "shop", "field": table.reference[1], "direction": "from"}]
        one: dict[str, Any] = {"name": column.name, "data_categories": column.categories, "fides_meta": fides}
        fields.append(one | ({"meta": column.meta} if column.meta else {}))
    return {"name": table.name, "fields": fields} | ({"meta": table.meta} if table.meta else {})


def _create(table: Table, postgres: bool) -> str:
    parts = []
    for column in table.columns:
        told = f'"{column.name}" {TYPES[column.kind][postgres]}'
        told += "" if column.null else " NOT NULL"
        told += " UNIQUE" if column.unique else ""
        parts.append(told + (f" CHECK ({column.check})" if column.check else ""))
    if table.key:
        parts.append("PRIMARY KEY (" + ", ".join(table.key) + ")")
    parts += [] if postgres else [_foreign(one) for one in table.keys]
    return f"CREATE TABLE {table.name} (" + ", ".join(parts) + ")"


def _foreign(key: Key) -> str:
    deferred = " DEFERRABLE INITIALLY DEFERRED" if key.deferred else ""
    return (
        f"FOREIGN KEY ({', '.join(key.columns)}) REFERENCES {key.table} ({', '.join(key.to)}){key.on_delete}{deferred}"
    )


def _alter(tables: list[Table]) -> Iterator[str]:
    for table in tables:
        for key in table.keys:
            yield f"ALTER TABLE {table.name} ADD {_foreign(key)}"


def _insert(connection: sa.Connection, table: Table, row: dict[str, Any], postgres: bool) -> None:
    kinds = {one.name: one.kind for one in table.columns}
    casts = {"json": "CAST(:{} AS JSONB)", "date": "CAST(:{} AS DATE)", "money": "CAST(:{} AS NUMERIC)"}
    marks = [(casts.get(kinds[name], ":{}") if postgres else ":{}").format(name) for name in row]
    values = {
        name: json.dumps(value) if kinds[name] == "odd" and not postgres and value is not None else value
        for name, value in row.items()
    }
    names = ", ".join(f'"{name}"' for name in row)
    connection.execute(sa.text(f"INSERT INTO {table.name} ({names}) VALUES ({', '.join(marks)})"), values)
