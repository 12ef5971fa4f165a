"""Every page and form of the console in one list; a test goes through all of them, with every role."""

from consent_gateway.web.console import (
    files,
    finding,
    people,
    policies,
    reporting,
    requests,
    signing,
    watching,
    working,
)
from consent_gateway.web.console.routes import Page

PAGES: tuple[Page, ...] = (
    *watching.PAGES,
    *requests.PAGES,
    *working.PAGES,
    *finding.PAGES,
    *people.PAGES,
    *policies.PAGES,
    *reporting.PAGES,
    *signing.PAGES,
    *files.PAGES,
)
