"""The suites that authors of stores, key providers and event sinks run; they test the contracts of `ports` alone.

Subclass a suite in a test module and say how to make one:

    class TestMyStore(CustomerStoreConformance):
        def make_store(self, catalogue, rows):
            return MyStore(...)  # holding exactly these rows

Every test's docstring is the clause it holds the implementation to. Nothing here needs pytest; a class whose stores
need a fixture declares an autouse fixture of its own. `pytest.register_assert_rewrite("consent_gateway.conformance")`
in a conftest makes failures tell more.
"""

from consent_gateway.conformance.customer_store import CustomerStoreConformance
from consent_gateway.conformance.erasable_sample import SHOP, ErasableRows
from consent_gateway.conformance.erasable_store import ErasableStoreConformance
from consent_gateway.conformance.event_sink import EventSinkConformance
from consent_gateway.conformance.key_provider import KeyProviderConformance
from consent_gateway.conformance.sample import ROWS, Rows, conformance_catalogue

__all__ = [
    "ROWS",
    "SHOP",
    "CustomerStoreConformance",
    "ErasableRows",
    "ErasableStoreConformance",
    "EventSinkConformance",
    "KeyProviderConformance",
    "Rows",
    "conformance_catalogue",
]
