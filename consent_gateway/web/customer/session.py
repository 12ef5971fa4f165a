"""What pages for customers ask of a call: who is signed in, and what its forms must send; holds no route."""

from consent_gateway.customers.sessions import CustomerSession
from consent_gateway.web.customer.browser import visit_of
from consent_gateway.web.operations import Call


def current_session(call: Call) -> CustomerSession | None:
    """The customer who is signed in, on any route. A page that needs one declares `CustomerAuth` instead."""
    visit = call.visited or visit_of(call.request, call.services.customers)
    return visit.session


def form_token(call: Call) -> str:
    """The value of the hidden field `form_token` that every form of a `Visitor` or `CustomerAuth` page must hold."""
    return call.visit.form_token
