"""The demo's channel services, each registered for exactly what its channel needs; data only."""

from consent_gateway.callers.registry import NewClient, Scope
from consent_gateway.vocabulary import COMPANY

TILL = "till"
WEB_SHOP = "web-shop"
CALL_CENTRE = "call-centre"
NEWSLETTER = "newsletter"
ANALYTICS = "analytics"
ADS = "ad-platform"
AUDITOR = "privacy-desk"

_READS = frozenset({Scope.CUSTOMERS_READ, Scope.DECISIONS, Scope.CHANGES_READ, Scope.CHANGES_SUBSCRIBE})
_EXPLAINS = _READS | {Scope.CUSTOMERS_EXPLAIN}
_SERVES = _EXPLAINS | {Scope.CUSTOMERS_WRITE, Scope.CONSENTS_READ, Scope.CONSENTS_WRITE}


def _client(
    client_id: str, channel: str, purposes: str, scopes: frozenset[Scope], recipients: str = COMPANY
) -> NewClient:
    return NewClient(
        client_id=client_id,
        channel=channel,
        purposes=frozenset(purposes.split()),
        recipients=frozenset(recipients.split()),
        scopes=frozenset(scope.value for scope in scopes),
    )


CLIENTS = (
    _client(TILL, "till", "order_fulfilment payment loyalty_account allergen_safety", _SERVES),
    _client(
        WEB_SHOP,
        "web_shop",
        "order_fulfilment payment loyalty_account service_messages email_marketing personalised_offers targeted_ads",
        _SERVES | {Scope.SIGNALS_WRITE},
        recipients=f"{COMPANY} courier ad_partner",
    ),
    _client(
        CALL_CENTRE,
        "call_centre",
        "customer_support order_fulfilment",
        _SERVES | {Scope.CUSTOMERS_SEARCH, Scope.RIGHTS_REQUEST},
    ),
    _client(NEWSLETTER, "email_marketing", "email_marketing service_messages", _EXPLAINS),
    _client(ANALYTICS, "analytics", "first_party_analytics service_improvement", _EXPLAINS),
    _client(ADS, "ad_platform", "targeted_ads", _READS, recipients="ad_partner"),
    _client(
        AUDITOR,
        "privacy_desk",
        "rights_requests",
        _EXPLAINS | {Scope.CONSENTS_READ, Scope.CONSENTS_WRITE, Scope.AUDIT_READ},
    ),
)
