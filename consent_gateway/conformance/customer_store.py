# ruff: noqa: S101 - asserting is what a suite is for
"""What every `ports.CustomerStore` must do; each test's docstring is one clause of the contract."""

from collections.abc import Sequence
from itertools import combinations

from consent_gateway.conformance.refusal import refused
from consent_gateway.conformance.sample import ROWS, Rows, conformance_catalogue, field
from consent_gateway.errors import Conflict, InputRefused, NotFound, StoreUnavailable
from consent_gateway.policy.catalogue import Catalogue
from consent_gateway.ports import CustomerStore, Page, StoredIdentity, StoredRecord


class CustomerStoreConformance:
    """What every `ports.CustomerStore` must do."""

    def make_store(self, catalogue: Catalogue, rows: Rows) -> CustomerStore:
        """A store over these rows; `catalogue` may name columns that the rows do not have."""
        raise NotImplementedError

    def store(self) -> CustomerStore:
        """A store over the suite's own rows and catalogue."""
        return self.make_store(conformance_catalogue(), ROWS)

    def test_a_read_gives_the_named_fields_and_no_other(self) -> None:
        """Whatever pair of root fields is asked, exactly these come back, with the values stored."""
        store = self.store()
        for pair in combinations(("customer_id", "email", "phone", "country", "points"), 2):
            record = _found(store, "1", pair, Page())
            assert record.values == {name: ROWS["customers"][0][name] for name in pair}
            assert record.children == {}

    def test_null_is_none(self) -> None:
        """An empty column is answered as None, not left out."""
        record = _found(self.store(), "2", ("phone",), Page())
        assert record.values == {"phone": None}

    def test_an_unknown_key_is_none(self) -> None:
        """There is no record for a key that is not in the store, nor for a text that could not be one."""
        store = self.store()
        for key in ("3", "0", "-1", "", "nobody", "1 ", "01", "1.0", "9" * 40, "1' OR '1'='1", "\x00"):
            assert store.read(key, ("email", "orders.city"), Page()) is None, key

    def test_a_read_without_root_fields_still_tells_whether_the_record_is_there(self) -> None:
        """Children alone may be asked, and nothing at all; the record's absence shows all the same."""
        store = self.store()
        record = _found(store, "10", ("orders.city",), Page())
        assert (record.values, record.children) == ({}, {"orders": []})
        nothing = _found(store, "1", (), Page())
        assert (nothing.values, nothing.children) == ({}, {})
        assert store.read("3", (), Page()) is None

    def test_a_field_that_is_not_catalogued_is_refused(self) -> None:
        """A name that the catalogue does not have raises `InputRefused`, also where the store has such a column."""
        store = self.store()
        for name in ("secret", "orders.margin", "orders", "customers.email", "email; --"):
            refused(InputRefused, lambda name=name: store.read("1", ("email", name), Page()))  # type: ignore[misc]

    def test_children_come_as_rows_of_the_columns_asked_for(self) -> None:
        """A child row holds exactly the short names asked for, in the collection's order."""
        record = _found(self.store(), "1", ("email", "orders.city", "devices.platform"), Page())
        assert record.values == {"email": "ada@shop.test"}
        assert record.children == {
            "devices": [{"platform": "android"}, {"platform": "ios"}],
            "orders": [{"city": "Bonn"}, {"city": "Kiel"}, {"city": "Jena"}],
        }
        assert record.more == frozenset()

    def test_references_of_any_depth_are_followed(self) -> None:
        """Rows two and three references away belong to the record, and nobody else's do."""
        store = self.store()
        fields = ("order_lines.product", "line_notes.note")
        expected = {"1": (["filter", "mokka"], ["gift"]), "2": (["decaf"], ["no sugar"]), "10": ([], [])}
        for key, (products, notes) in expected.items():
            record = _found(store, key, fields, Page())
            assert [row["product"] for row in record.children["order_lines"]] == products
            assert [row["note"] for row in record.children["line_notes"]] == notes

    def test_pages_bound_each_collection_and_tell_of_more(self) -> None:
        """A page holds at most `limit` rows of each collection, and `more` names those with rows past it."""
        record = _found(self.store(), "1", ("orders.city", "loyalty_accounts.tier"), Page(limit=2))
        assert record.children["orders"] == [{"city": "Bonn"}, {"city": "Kiel"}]
        assert record.children["loyalty_accounts"] == [{"tier": "gold"}]
        assert record.more == {"orders"}

    def test_pages_add_up(self) -> None:
        """Page after page, every row comes once, also where rows stand level in `order_by`."""
        store = self.store()
        for size in (1, 2, 3, 4):
            seen: list[object] = []
            for offset in range(0, 6, size):
                record = _found(store, "1", ("orders.order_id",), Page(size, offset))
                seen += [row["order_id"] for row in record.children["orders"]]
                assert ("orders" in record.more) == (offset + size < 3)
            assert seen == [12, 11, 13]

    def test_a_page_of_no_rows_only_tells_of_more(self) -> None:
        """A limit of nought answers no rows, and `more` where there are any."""
        record = _found(self.store(), "1", ("orders.city",), Page(limit=0))
        assert record.children == {"orders": []}
        assert record.more == {"orders"}

    def test_a_page_out_of_bounds_is_refused(self) -> None:
        """A negative limit or offset raises `InputRefused`."""
        store = self.store()
        for page in (Page(limit=-1), Page(offset=-1)):
            refused(InputRefused, lambda page=page: store.read("1", ("orders.city",), page))  # type: ignore[misc]

    def test_the_version_is_of_what_was_read(self) -> None:
        """The version changes with a column that was read, not with another, and differs between records."""
        store = self.store()
        before = _version(store, "1", "email", "phone")
        assert before == _version(store, "1", "phone", "email")
        assert before != _version(store, "2", "email", "phone")
        store.update("1", {"points": 8}, None)
        assert _version(store, "1", "email", "phone") == before
        store.update("1", {"phone": None}, None)
        assert _version(store, "1", "email", "phone") != before

    def test_an_update_changes_the_named_fields_only(self) -> None:
        """After an update the named fields hold the new values, all others and all other records the old ones."""
        store = self.store()
        store.update("1", {"email": "ada@new.test", "points": -3}, None)
        record = _found(store, "1", ("customer_id", "email", "phone", "country", "points"), Page())
        assert record.values == {
            "customer_id": 1, "email": "ada@new.test", "phone": "+49 30 1", "country": "DE", "points": -3,
        }  # fmt: skip
        other = _found(store, "2", ("email", "points"), Page())
        assert other.values == {"email": "bo@shop.test", "points": 0}

    def test_an_update_gives_the_version_of_the_next_read(self) -> None:
        """The version returned is that of the columns the expected one covers, so it can be expected next."""
        store = self.store()
        first = _version(store, "1", "email", "country")
        second = store.update("1", {"email": "ada@new.test"}, first)
        assert second == _version(store, "1", "email", "country") != first
        third = store.update("1", {"email": "ada@newer.test"}, second)
        assert third == _version(store, "1", "email", "country")
        assert store.update("1", {"phone": "1"}, None) == _version(store, "1", "phone")

    def test_an_update_of_a_record_that_moved_is_a_conflict(self) -> None:
        """A version that is not the present one raises `Conflict` and changes nothing."""
        store = self.store()
        stale = _version(store, "1", "email")
        store.update("1", {"email": "ada@new.test"}, None)
        for version in (stale, "", "nonsense", "-1.ab", "ffff.00", stale.upper() + "0", _version(store, "2", "email")):
            refused(Conflict, lambda version=version: store.update("1", {"points": 99}, version))  # type: ignore[misc]
        record = _found(store, "1", ("email", "points"), Page())
        assert record.values == {"email": "ada@new.test", "points": 7}

    def test_an_update_of_nobody_is_not_found(self) -> None:
        """An unknown key raises `NotFound`, with or without a version."""
        store = self.store()
        version = _version(store, "1", "email")
        for key in ("3", "nobody", "01"):
            refused(NotFound, lambda key=key: store.update(key, {"points": 1}, None))  # type: ignore[misc]
            refused(NotFound, lambda key=key: store.update(key, {"points": 1}, version))  # type: ignore[misc]

    def test_only_writable_root_fields_can_be_changed(self) -> None:
        """The key, a field that is not writable, a child's and an unknown one raise `InputRefused` naming it."""
        store = self.store()
        for name in ("customer_id", "country", "orders.city", "secret", "nothing"):
            changes = {"email": "x@shop.test", name: "5"}
            error = refused(InputRefused, lambda changes=changes: store.update("1", changes, None))  # type: ignore[misc]
            assert isinstance(error, InputRefused)
            assert [fault.pointer.rpartition("/")[2] for fault in error.faults] == [name]
        record = _found(store, "1", ("email",), Page())
        assert record.values == {"email": "ada@shop.test"}

    def test_a_value_of_another_type_is_refused_without_repeating_it(self) -> None:
        """A value the column does not take raises `InputRefused` naming the field; no message holds the value."""
        store = self.store()
        for name, value in (("points", "many"), ("points", True), ("email", 4711), ("email", ["4711"])):
            call = lambda name=name, value=value: store.update("1", {name: value}, None)  # noqa: E731
            error = refused(InputRefused, call)
            assert isinstance(error, InputRefused)
            assert [fault.pointer for fault in error.faults] == [f"/record/{name}"]
            assert not any(word in f"{error} {error.faults}" for word in ("many", "4711"))

    def test_a_created_record_can_be_read_under_its_key(self) -> None:
        """`create` returns the key, given or made; the record holds what was given and None for the rest."""
        store = self.store()
        made = store.create({"email": "di@shop.test", "points": 1})
        given = store.create({"customer_id": 77, "email": "ed@shop.test"})
        assert given == "77"
        assert made not in {"1", "2", "10", "77"}
        record = _found(store, made, ("email", "phone", "points"), Page())
        assert record.values == {"email": "di@shop.test", "phone": None, "points": 1}
        assert store.count() == 5

    def test_a_record_that_exists_cannot_be_created(self) -> None:
        """A key that is taken raises `Conflict` and leaves the record as it was."""
        store = self.store()
        refused(Conflict, lambda: store.create({"customer_id": 1, "email": "thief@shop.test"}))
        record = _found(store, "1", ("email",), Page())
        assert record.values == {"email": "ada@shop.test"}
        assert store.count() == 3

    def test_identities_come_in_pages_in_the_order_of_keys(self) -> None:
        """Page after page, every record comes once; the next page starts after the last key; the end is empty."""
        store = self.store()
        for size in (1, 2, 5):
            seen: list[str] = []
            after = None
            while page := store.identities(after, size):
                assert len(page) <= size
                seen += [one.store_key for one in page]
                after = page[-1].store_key
            assert seen == ["1", "2", "10"]

    def test_identities_hold_all_kinds_of_all_collections(self) -> None:
        """Each identity column of the record and of its children is there, also several of one kind."""
        ada, bo, cy = self.store().identities(None, 10)
        assert sorted(ada.identities) == [
            ("device_id", "d-a"),
            ("device_id", "d-b"),
            ("email", "ada@shop.test"),
            ("external_id", "1"),
            ("loyalty_number", "L-1"),
        ]
        assert ("device_id", "d-c") in bo.identities
        assert sorted(cy.identities) == [("email", "cy@shop.test"), ("external_id", "10")]
        assert [_country(one) for one in (ada, bo, cy)] == ["DE", "FR", "US"]

    def test_the_records_are_counted(self) -> None:
        """`count` is the number of root records."""
        assert self.store().count() == len(ROWS["customers"])

    def test_a_store_that_has_everything_has_no_faults(self) -> None:
        """A catalogue that fits gives no faults."""
        assert list(self.store().faults()) == []

    def test_what_the_store_does_not_have_is_named(self) -> None:
        """A catalogued column the store lacks is a fault that names it, and a read of it is `StoreUnavailable`."""
        store = self.make_store(conformance_catalogue(field("customers", "shoe_size")), ROWS)
        faults = store.faults()
        assert len(faults) == 1
        assert "shoe_size" in faults[0]
        assert "customers" in faults[0]
        refused(StoreUnavailable, lambda: store.read("1", ("email", "shoe_size"), Page()))
        record = _found(store, "1", ("email",), Page())
        assert record.values == {"email": "ada@shop.test"}


def _found(store: CustomerStore, key: str, fields: Sequence[str], page: Page) -> StoredRecord:
    record = store.read(key, fields, page)
    assert record is not None
    return record


def _version(store: CustomerStore, key: str, *fields: str) -> str:
    return _found(store, key, fields, Page()).version


def _country(identity: StoredIdentity) -> str | None:
    return identity.attributes.get("country")
