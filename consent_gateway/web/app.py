"""Puts the web application together from its services; holds no route and no rule of its own."""

from functools import cache, partial
from importlib.resources import files

import orjson
from flask import Flask

from consent_gateway import __version__
from consent_gateway.callers.dpop import ProofCheck
from consent_gateway.tracing import NO_TRACER, Tracer
from consent_gateway.web import apidocs, openapi, problems, security, tracing
from consent_gateway.web.api import (
    agents,
    audit,
    changes,
    confirmations,
    consent_forms,
    consents,
    customers,
    decisions,
    evidence,
    metrics,
    officers,
    receipts,
    reidentifications,
    reports,
    rights,
    rights_corrections,
    rights_letters,
    rights_recipients,
    rights_work,
    signals,
    system,
    unsubscribe_links,
)
from consent_gateway.web.auth import Door
from consent_gateway.web.client_assertion import AssertionCheck
from consent_gateway.web.client_certificate import CertificateHeader
from consent_gateway.web.console import routes as console
from consent_gateway.web.console.pages import PAGES as CONSOLE_PAGES
from consent_gateway.web.console.signing import CALLBACK as OFFICER_CALLBACK
from consent_gateway.web.customer import confirming, outbox_page, sign_in, unsubscribing
from consent_gateway.web.customer.provider import CALLBACK_PATH, Provider
from consent_gateway.web.oauth import TokenEndpoint
from consent_gateway.web.operations import Operation, mount
from consent_gateway.web.preferences import answering, embedded, reading, requests, routes, strangers
from consent_gateway.web.services import Services
from consent_gateway.web.site import Site

OPERATIONS: tuple[Operation, ...] = (
    *customers.OPERATIONS,
    *decisions.OPERATIONS,
    *consents.OPERATIONS,
    *signals.OPERATIONS,
    *receipts.OPERATIONS,
    *evidence.OPERATIONS,
    *confirmations.OPERATIONS,
    *changes.OPERATIONS,
    *officers.OPERATIONS,
    *reidentifications.OPERATIONS,
    *rights.OPERATIONS,
    *rights_work.OPERATIONS,
    *rights_corrections.OPERATIONS,
    *rights_letters.OPERATIONS,
    *rights_recipients.OPERATIONS,
    *audit.OPERATIONS,
    *reports.OPERATIONS,
    *metrics.OPERATIONS,
    *unsubscribe_links.OPERATIONS,
    *consent_forms.OPERATIONS,
    *sign_in.OPERATIONS,
    *unsubscribing.OPERATIONS,
    *confirming.OPERATIONS,
    *outbox_page.OPERATIONS,
    *system.OPERATIONS,
)
"""Every route of the API."""

FOR_AGENTS: tuple[Operation, ...] = agents.OPERATIONS
"""The routes of the API that are there only where the settings name the agents of the Data Rights Protocol."""

PAGES: tuple[routes.Page, ...] = (*reading.PAGES, *answering.PAGES, *requests.PAGES, *strangers.PAGES, *embedded.PAGES)
"""Every page of the customers; no part of the API."""


def create_app(services: Services, tracer: Tracer = NO_TRACER) -> Flask:
    """The WSGI application over the services. One per process; safe for any number of threads."""
    app = Flask("consent_gateway.web", static_folder=None)
    app.url_map.merge_slashes = False  # an address is right or unknown, never mended by a redirect
    app.url_map.strict_slashes = True
    if tracer is not NO_TRACER:
        tracing.install(app, tracer)  # first: the other hooks belong to what is timed
    security.install(app)
    problems.install(app)
    proxies = services.certificate_proxies
    certificates = None if proxies is None else CertificateHeader(proxies)
    if certificates is not None:
        certificates.refuse_strangers(app)
    operations = OPERATIONS if services.agents is None else (*OPERATIONS, *FOR_AGENTS)
    mount(app, operations, services, _site(services, certificates, operations))
    routes.mount(app, PAGES, services)
    console.mount(app, CONSOLE_PAGES, services, _officer_provider(services))
    return app


def _site(services: Services, certificates: CertificateHeader | None, operations: tuple[Operation, ...]) -> Site:
    described = cache(partial(openapi.document, operations, version=__version__, issuer=services.issuer))
    static = files("consent_gateway.web") / "static"
    proofs = ProofCheck(services.replay, services.clock, services.issuer)
    check = AssertionCheck(services.registry, services.replay, services.clock, services.issuer)
    return Site(
        door=Door(services.tokens, services.outside, proofs, certificates),
        token_endpoint=TokenEndpoint(services.registry, services.tokens, check, proofs, certificates, services.issuer),
        openapi=cache(lambda: orjson.dumps(described(), option=orjson.OPT_INDENT_2)),
        reference=cache(lambda: apidocs.reference_page(described()).encode()),
        errors=cache(lambda: apidocs.errors_page().encode()),
        stylesheet=(static / "docs.css").read_bytes(),
        icon=(static / "icon.svg").read_bytes(),
        provider=_provider(services),
    )


def _provider(services: Services) -> Provider | None:
    desk = services.customers
    if desk.provider is None:
        return None
    return Provider(desk.provider, desk.fetcher, services.clock, f"{services.issuer}{CALLBACK_PATH}")


def _officer_provider(services: Services) -> Provider | None:
    at = services.console.provider
    if at is None:
        return None
    return Provider(at.provider, at.fetcher, services.clock, f"{services.issuer}{OFFICER_CALLBACK}")
