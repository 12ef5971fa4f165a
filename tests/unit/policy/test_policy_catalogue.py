"""Claims about reading Fides datasets as the field catalogue."""

import pytest

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy import policies_from
from consent_gateway.policy.catalogue import Reference
from consent_gateway.vocabulary import Effect, Obligation

FIDES = """\
dataset:
  - fides_key: shop
    organization_fides_key: default_organization
    name: Shop
    description: everything
    tags: [x]
    meta: {owner: us}
    data_categories: [user.contact]
    fides_meta: {after: [other], namespace: {a: b}, skip_processing: false}
    collections:
      - name: orders
        description: their orders
        fides_meta: {after: [customers], erase_after: [customers], skip_processing: false}
        meta: {order_by: total, table: t_orders}
        fields:
          - {name: id, data_categories: [user.unique_id], fides_meta: {primary_key: true, data_type: integer}}
          - name: customer
            data_categories: [user.unique_id]
            fides_meta: {references: [{dataset: shop, field: customers.id, direction: from}]}
          - {name: total, data_qualifier: aggregated, retention: P5Y}
      - name: customers
        data_categories: [user.contact.email]
        fields:
          - {name: id, data_categories: [user.unique_id], fides_meta: {primary_key: true}}
          - name: email
            fides_meta: {identity: email, data_type: string, length: 40, read_only: false}
            meta: {writable: true, retention: P10Y, protection: sealed, key_class: care, mirrors_consent: orders}
          - name: visits
            data_categories: [user.behavior]
            meta: {transforms: {pseudonymise: pseudonym.subject, mask: {transform: mask, parameters: {keep: 2, a: b}}}}
          - name: profile
            data_categories: [user.behavior]
            fields:
              - {name: inner, fields: [{name: blood, data_categories: [user.health]}]}
"""


def test_a_real_fides_dataset_is_read(small: dict[str, str]) -> None:
    """Keys that mean nothing here pass, categories are inherited, child fields carry their collection's name."""
    small["catalogue.yaml"] = FIDES
    catalogue = policies_from(small).catalogue
    assert catalogue.dataset == "shop"
    assert catalogue.root.name == "customers"
    assert catalogue.root.reference is None
    orders = catalogue.collections["orders"]
    assert (orders.table, orders.primary_key, orders.order_by) == ("t_orders", "id", "total")
    assert orders.reference == Reference("customer", "customers", "id")
    assert list(catalogue.fields)[:3] == ["orders.id", "orders.customer", "orders.total"]
    total = catalogue.fields["orders.total"]
    assert (total.column, total.categories, total.retention) == ("total", ("user.contact",), "P5Y")
    email = catalogue.fields["email"]
    assert email.categories == ("user.contact.email",)
    assert (email.identity, email.writable, email.retention, email.protection) == ("email", True, "P10Y", "sealed")
    assert catalogue.key_classes == {"email": "care"}
    assert email.mirrors_consent == "orders"
    assert catalogue.fields["visits"].transforms == {
        Effect.PSEUDONYMISE: Obligation("pseudonym.subject"),
        Effect.MASK: Obligation("mask", (("a", "b"), ("keep", 2))),
    }
    assert catalogue.fields["profile"].categories == ("user.behavior", "user.health")


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("{primary_key: true, data_type: integer}", "{data_type: integer}", 11, "`orders` needs one primary key"),
        ("order_by: total", "order_by: price", 11, "ordered by `price`, which it does not hold"),
        ("customers.id", "customers.key", 11, "`customers` has no field `key`"),
        ("customers.id", "people.id", 11, "`orders` refers to no collection"),
        ("customers.id", "id", 17, "`id` names no collection"),
        ("{name: total, data_qual", "{name: customer, data_qual", 20, "the field `customer` stands twice"),
        ("references:", "no_references:", 10, "not clear which collection holds the person"),
        ("    data_categories: [user.contact]\n", "", 19, "the field `total` has no category"),
        ("mirrors_consent: orders", "mirrors_consent: order", 25, "unknown purpose `order`"),
        ("retention: P10Y", "retention: ten years", 27, "write `P10Y`"),
        ("protection: sealed", "protection: locked", 27, "unknown protection `locked`"),
        ("key_class: care, ", "", 25, "`email` is sealed, but names no key class"),
        ("protection: sealed, ", "", 25, "`email` names the key class `care`, but is not sealed"),
        ("key_class: care", "key_class: Care Desk", 27, "`Care Desk` is not a key class"),
        ("writable: true", "writable: perhaps", 27, "not a valid boolean"),
        ("writable: true", "search: [last4]", 25, "the identity `email` does not have"),
        ("writable: true", "search: [exact]", 25, "`email` asks for the search `exact`"),
        ("meta: {transforms", "meta: {search: [last4], transforms", 28, "a field that is no identity does not have"),
        ("name: orders", "name: customers", 10, "two collections have the same name"),
        ("direction: from", "direction: to", 10, "not clear which collection holds the person"),
        ("collections:", "collection:", 2, "`collections` is missing"),
    ],
)
def test_a_fault_in_the_catalogue_is_told(small: dict[str, str], old: str, new: str, line: int, what: str) -> None:
    """What would mislead a store's reader is a finding with its line."""
    assert old in FIDES
    small["catalogue.yaml"] = FIDES.replace(old, new, 1)
    with pytest.raises(PolicyInvalid) as refused:
        policies_from(small)
    fitting = [one for one in refused.value.findings if what in one]
    assert fitting, refused.value.findings
    assert fitting[0].startswith(f"catalogue.yaml:{line}: "), fitting


def test_search_is_read_where_it_fits(small: dict[str, str]) -> None:
    """A mode that the identity has is taken as it stands; without a line there is none."""
    assert policies_from({**small, "catalogue.yaml": FIDES}).catalogue.fields["email"].search == ()
    asked = FIDES.replace("writable: true", "writable: true, search: [email_domain]")
    assert policies_from({**small, "catalogue.yaml": asked}).catalogue.fields["email"].search == ("email_domain",)


def test_one_dataset_is_one_store(small: dict[str, str]) -> None:
    """Two datasets in the catalogue are refused."""
    small["catalogue.yaml"] = FIDES + "  - {fides_key: other, collections: []}\n"
    with pytest.raises(PolicyInvalid, match="one dataset"):
        policies_from(small)
