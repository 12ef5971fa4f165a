"""Puts the web application together from its services; holds no route and no rule of its own."""

from importlib.resources import files

import orjson
from flask import Flask

from consent_gateway import __version__
from consent_gateway.callers.dpop import ProofCheck
from consent_gateway.web import apidocs, openapi, problems, security
from consent_gateway.web.api import changes, consents, customers, decisions, officers, reidentifications, system
from consent_gateway.web.auth import Door
from consent_gateway.web.client_assertion import AssertionCheck
from consent_gateway.web.client_certificate import CertificateHeader
from consent_gateway.web.oauth import TokenEndpoint
from consent_gateway.web.operations import Operation, mount
from consent_gateway.web.services import Services
from consent_gateway.web.site import Site

OPERATIONS: tuple[Operation, ...] = (
    *customers.OPERATIONS,
    *decisions.OPERATIONS,
    *consents.OPERATIONS,
    *changes.OPERATIONS,
    *officers.OPERATIONS,
    *reidentifications.OPERATIONS,
    *system.OPERATIONS,
)
"""Every route there is."""


def create_app(services: Services) -> Flask:
    """The WSGI application over the services. One per process; safe for any number of threads."""
    app = Flask("consent_gateway.web", static_folder=None)
    app.url_map.merge_slashes = False  # an address is right or unknown, never mended by a redirect
    app.url_map.strict_slashes = True
    security.install(app)
    problems.install(app)
    mount(app, OPERATIONS, services, _site(app, services))
    return app


def _site(app: Flask, services: Services) -> Site:
    described = openapi.document(OPERATIONS, version=__version__, issuer=services.issuer)
    static = files("consent_gateway.web") / "static"
    with app.app_context():
        reference, errors = apidocs.reference_page(described), apidocs.errors_page()
    proxies = services.certificate_proxies
    certificates = None if proxies is None else CertificateHeader(proxies)
    proofs = ProofCheck(services.replay, services.clock, services.issuer)
    check = AssertionCheck(services.registry, services.replay, services.clock, services.issuer)
    return Site(
        door=Door(services.tokens, services.outside, proofs, certificates),
        token_endpoint=TokenEndpoint(services.registry, services.tokens, check, proofs, certificates, services.issuer),
        openapi=orjson.dumps(described, option=orjson.OPT_INDENT_2),
        reference=reference.encode(),
        errors=errors.encode(),
        stylesheet=(static / "docs.css").read_bytes(),
        icon=(static / "icon.svg").read_bytes(),
    )
