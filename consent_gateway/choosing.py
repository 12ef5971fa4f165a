"""What a choice in several steps takes, put together: links that confirm, proofs, open questions; decides nothing.

A part of the composition root in a file of its own, beside the customers' desk: `wiring` calls `open_choosing`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from consent_gateway.consent.choices import Choices
from consent_gateway.consent.notices import Notices
from consent_gateway.consent.parents import ParentCheck
from consent_gateway.consent.proof import Proofs
from consent_gateway.consent.questions import Questions
from consent_gateway.consent.receipts import Receipts
from consent_gateway.customer_desk import CustomerDesk
from consent_gateway.customers.confirmations import ConfirmationLinks
from consent_gateway.customers.confirming import (
    CONFIRM_PATH,
    OWN,
    PARENT,
    PARENT_DONE,
    REVOKE_PATH,
    Addresses,
    Confirming,
)
from consent_gateway.customers.mail import wordings
from consent_gateway.customers.page_words import page_words
from consent_gateway.policy import Policies
from consent_gateway.policy.step_book import StepBook
from consent_gateway.ports import Clock
from consent_gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Choosing:
    """Choices in several steps. Safe to share between threads."""

    confirming: Confirming
    links: ConfirmationLinks
    proofs: Proofs
    questions: Questions
    page_words: Mapping[str, Mapping[str, str]]


def open_choosing(
    engine: sa.Engine,
    policies: Policies,
    settings: Settings,
    choices: Choices,
    notices: Notices,
    receipts: Receipts,
    customers: CustomerDesk,
    clock: Clock,
) -> Choosing:
    """The parts of one process."""
    book = StepBook(policies)
    confirming = Confirming(
        engine=engine,
        clock=clock,
        choices=choices,
        notices=notices,
        book=book,
        parents=ParentCheck(policies, book),
        links=customers.confirmations,
        limits=customers.limits,
        queue=customers.queue,
        words={kind: wordings(kind) for kind in (OWN, PARENT, PARENT_DONE)},
        addresses=Addresses(
            confirm=lambda token: f"{settings.issuer}{CONFIRM_PATH}?t={token}",
            revoke=lambda token: f"{settings.issuer}{REVOKE_PATH}?t={token}",
        ),
        name=settings.customers.mail_name,
        revocable=settings.customers.unsubscribe,
        mails=settings.customers.mail != "none",
    )
    return Choosing(
        confirming,
        customers.confirmations,
        Proofs(choices, receipts),
        Questions(engine, choices, policies, clock),
        page_words(),
    )
