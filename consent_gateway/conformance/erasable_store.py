# ruff: noqa: S101 - asserting is what a suite is for
"""What every `ports.ErasableStore` must do; each test's docstring is one clause of the contract."""

from collections.abc import Mapping, Sequence

from consent_gateway.conformance.erasable_sample import (
    DAY,
    MANY,
    SHOP,
    ErasableRows,
    erasable_catalogue,
    keeping_nothing,
    keeping_orders,
)
from consent_gateway.conformance.refusal import refused
from consent_gateway.errors import StoreUnavailable
from consent_gateway.policy.retention import Retention
from consent_gateway.ports import ErasableStore, Fill, StoreChange, StoreChanged, StoreReference
from consent_gateway.rights.plan import Asked, Planner
from consent_gateway.rights.plan_keep import Circumstances
from consent_gateway.rights.plan_model import Leftover, Plan
from consent_gateway.rights.scan import Scan
from consent_gateway.vocabulary import JsonValue


class ErasableStoreConformance:
    """What every `ports.ErasableStore` must do."""

    def make_store(self, rows: ErasableRows) -> ErasableStore:
        """A store over these rows, in tables with the keys and references that `erasable_sample` tells."""
        raise NotImplementedError

    def make_lost_store(self) -> ErasableStore:
        """A store whose database does not answer."""
        raise NotImplementedError

    def store(self, **more: Sequence[Mapping[str, JsonValue]]) -> ErasableStore:
        """A store over the suite's rows, and more of them by table."""
        return self.make_store({table: (*rows, *more.get(table, ())) for table, rows in SHOP.items()})

    def test_the_shape_tells_every_table(self) -> None:
        """Tables, declared or not, with keys, columns that may be null or are unique, and references."""
        shape = self.store().shape()
        assert {"customers", "orders", "reviews", "scraps"} <= set(shape)
        customers, orders, reviews = shape["customers"], shape["orders"], shape["reviews"]
        assert customers.key == ("customer_id",)
        assert (customers.columns["email"].nullable, customers.columns["email"].unique) == (False, True)
        assert customers.columns["phone"].nullable
        assert "points" in customers.columns
        assert orders.references == (StoreReference(("customer_id",), "customers", ("customer_id",)),)
        assert not orders.columns["customer_id"].nullable
        assert reviews.columns["order_id"].nullable

    def test_rows_are_found_by_what_columns_hold(self) -> None:
        """Every row that holds a wanted value, each once and with all its columns; what nobody holds finds none."""
        store = self.store()
        rows = store.find("orders", ("customer_id",), [(1,), (1,), (77,)])
        assert sorted(row.key for row in rows) == [(11,), (12,)]
        assert all(set(row.values) == {"order_id", "customer_id", "placed_on", "city"} for row in rows)
        (both,) = store.find("orders", ("customer_id", "city"), [(1, "Kiel"), (2, "Kiel")])
        assert both.key == (12,)

    def test_a_null_is_never_found(self) -> None:
        """A null among the wanted values matches no row, and none that is null there."""
        store = self.store()
        assert not store.find("reviews", ("order_id",), [(None,)])
        assert not store.find("customers", ("phone",), [(None,)])

    def test_many_keys_at_once(self) -> None:
        """More values than one statement takes find all their rows."""
        store = self.store()
        rows = store.find("customers", ("customer_id",), [(1000 + n,) for n in range(MANY)])
        assert len({row.key for row in rows}) == len(rows) == MANY

    def test_older_rows_come_in_pages(self) -> None:
        """Before a day, the oldest first; a page later goes on, and a row without a day is not older."""
        undated: dict[str, JsonValue] = {"order_id": 13, "customer_id": 1, "placed_on": None, "city": None}
        store = self.store(orders=(undated,))
        first = store.older("orders", "placed_on", "2025-03-02", 1, 0)
        second = store.older("orders", "placed_on", "2025-03-02", 9, 1)
        assert ([row.key for row in first], [row.key for row in second]) == ([(12,)], [(11,)])

    def test_values_are_counted(self) -> None:
        """How many rows hold each value; one that no row holds is not counted."""
        assert dict(self.store().held("customers", "points", [7, 8])) == {7: 2}

    def test_a_deletion_is_whole_and_can_be_repeated(self) -> None:
        """The rows named go and no other; again it changes nothing and is no error."""
        store = self.store()
        change = StoreChange("reviews", ((31,),), {}, {}, "ab", deletes=True)
        assert store.apply(change) == StoreChanged(1, {})
        assert store.apply(change) == StoreChanged(0, {})
        assert [row.key for row in store.find("reviews", ("review_id",), [(31,), (32,)])] == [(32,)]

    def test_a_deletion_that_a_reference_forbids_is_told_and_takes_nothing(self) -> None:
        """With a row that hangs on another in the same change, none of its rows goes; the code is told under `*`."""
        store = self.store()
        told = store.apply(StoreChange("customers", ((1,), (1000,)), {}, {}, "ab", deletes=True))
        assert told.rows == 0
        assert set(told.refused) == {"*"}
        assert len(store.find("customers", ("customer_id",), [(1,), (1000,)])) == 2

    def test_columns_are_emptied_and_what_is_refused_keeps_its_value(self) -> None:
        """A null where it may be, a blank else; a column that takes no null is told while the others lose theirs."""
        store = self.store()
        told = store.apply(StoreChange("customers", ((1,),), {"phone": Fill.NULL, "email": Fill.NULL}, {}, "ab"))
        assert set(told.refused) == {"email"}
        (row,) = store.find("customers", ("customer_id",), [(1,)])
        assert (row.values["phone"], row.values["email"]) == (None, "ada.ember@shop.test")
        store.apply(StoreChange("reviews", ((31,),), {"words": Fill.BLANK}, {}, "ab"))
        (review,) = store.find("reviews", ("review_id",), [(31,)])
        assert review.values["words"] == ""

    def test_unique_blanks_differ_and_are_the_same_when_repeated(self) -> None:
        """Rows emptied in a unique column differ from one another; done again, none of them changes."""
        store, keys = self.store(), ((1,), (2,))
        change = StoreChange("customers", keys, {"email": Fill.UNIQUE}, {}, "a1b2")
        assert store.apply(change) == StoreChanged(2, {})
        once = {row.key: row.values["email"] for row in store.find("customers", ("customer_id",), keys)}
        assert len(set(once.values())) == 2
        assert not any("ember" in str(value) or "stone" in str(value) for value in once.values())
        store.apply(change)
        assert once == {row.key: row.values["email"] for row in store.find("customers", ("customer_id",), keys)}

    def test_values_are_written_as_they_stand(self) -> None:
        """What a catalogue or a correction names is in the column afterwards, quotes and all; a null ends it."""
        store = self.store()
        words = 'O\'Brien: "50 %" \\ :name ü'
        assert store.apply(StoreChange("reviews", ((31,),), {}, {"words": words, "order_id": None}, "ab")).refused == {}
        (row,) = store.find("reviews", ("review_id",), [(31,)])
        assert (row.values["words"], row.values["order_id"]) == (words, None)

    def test_a_search_finds_a_value_however_it_is_written(self) -> None:
        """In any case, in a URL, in JSON, in a longer text; not in a longer word."""
        words = (
            "Ada.Ember@SHOP.test",
            "?to=ada.ember%40shop.test&x=1",
            "joada.ember@shop.test",
            "ada.ember@shop.tests",
        )
        scraps = [_scrap(50 + at, text) for at, text in enumerate(words)]
        store = self.store(scraps=scraps)
        looked = self.plan(store).looked.identifying
        (hits,) = store.search("scraps", ("words",), looked, 99)
        assert (hits.table, hits.column, sorted(hits.keys), hits.more) == ("scraps", "words", [(50,), (51,)], False)
        (few,) = store.search("scraps", ("words",), looked, 1)
        assert (len(few.keys), few.more) == (1, True)
        assert "scraps" in store.holding({"scraps": ("scrap_id", "words"), "orders": ("city",)}, looked)

    def test_an_erasure_leaves_nothing_and_breaks_nothing(self) -> None:
        """Planned, carried out and looked through: all of the person's rows are gone, the others' are as before."""
        store = self.store()
        plan = self.plan(store)
        assert not self.carried_out(store, plan, keeping_nothing())
        assert not store.find("customers", ("customer_id",), [(1,)])
        assert not store.find("orders", ("customer_id",), [(1,)])
        assert not store.find("reviews", ("review_id",), [(31,)])
        assert len(store.find("customers", ("customer_id",), [(2,), (3,)])) == 2
        assert not self.carried_out(store, plan, keeping_nothing())  # a killed run does all of it again

    def test_what_a_law_keeps_stays_and_the_rest_is_emptied(self) -> None:
        """The order inside its eight years keeps number, day and owner; the record it hangs on stays, emptied."""
        store = self.store()
        plan = self.plan(store, keeping_orders())
        assert plan.keeps
        assert not self.carried_out(store, plan, keeping_orders())
        (order,) = store.find("orders", ("customer_id",), [(1,)])
        assert (order.key, str(order.values["placed_on"])[:10], order.values["city"]) == ((11,), "2025-03-01", None)
        (customer,) = store.find("customers", ("customer_id",), [(1,)])
        assert "ember" not in str(customer.values)

    def test_a_mention_that_nobody_declared_is_named(self) -> None:
        """A value of the person's in a table of no catalogue is found, and found again until it is taken out."""
        store = self.store(scraps=[_scrap(42, "call ada.ember@shop.test")])
        plan = self.plan(store)
        for _time in range(2):
            (left,) = self.carried_out(store, plan, keeping_nothing())
            assert (left.where, left.cause.value, left.rows) == ("scraps.words", "mention", 1)
        store.apply(StoreChange("scraps", ((42,),), {"words": Fill.NULL}, {}, "ab"))
        assert not self.carried_out(store, plan, keeping_nothing())

    def test_a_store_that_is_away_says_so(self) -> None:
        """`StoreUnavailable`, by every call, and never an empty answer that would pass for nothing found."""
        looked = self.plan(self.store()).looked.identifying
        lost = self.make_lost_store()
        refused(StoreUnavailable, lost.shape)
        refused(StoreUnavailable, lambda: lost.find("customers", ("customer_id",), [(1,)]))
        refused(StoreUnavailable, lambda: lost.older("orders", "placed_on", "2025-01-01", 1, 0))
        refused(StoreUnavailable, lambda: lost.held("customers", "points", [7]))
        refused(StoreUnavailable, lambda: lost.search("scraps", ("words",), looked, 1))
        refused(StoreUnavailable, lambda: lost.apply(StoreChange("reviews", ((31,),), {}, {}, "ab", deletes=True)))

    def plan(self, store: ErasableStore, retention: Retention | None = None) -> Plan:
        """The plan of the erasure of the first customer."""
        planner = Planner(store, erasable_catalogue(), retention or keeping_nothing())
        return planner.plan(Asked("1", Circumstances(DAY, "DE"), (), "DE", "a1b2c3d4"))

    def carried_out(self, store: ErasableStore, plan: Plan, retention: Retention) -> tuple[Leftover, ...]:
        """What is left after the plan's steps."""
        refusals = [store.apply(change).refused for step in plan.steps for change in step.changes]
        assert not any(refusals), refusals
        return Scan(store, None).look(plan, retention.on(DAY)).leftovers


def _scrap(scrap_id: int, words: str) -> Mapping[str, JsonValue]:
    return {"scrap_id": scrap_id, "words": words}
