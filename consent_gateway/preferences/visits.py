"""Who is looking at the page: the seam to the customers' sign-in; signs nobody in."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from consent_gateway.customers.sessions import Assurance


class Visit(Protocol):
    """A signed-in customer. `purpose` is set for a session that may only end that one purpose."""

    @property
    def session_id(self) -> str:
        """The session, to which every form it is shown is bound."""
        ...

    @property
    def data_subject(self) -> str:
        """The person."""
        ...

    @property
    def assurance(self) -> Assurance:
        """How they signed in."""
        ...

    @property
    def signed_in_at(self) -> datetime:
        """When."""
        ...

    @property
    def purpose(self) -> str | None:
        """The one purpose of a scoped session; None for a whole one."""
        ...


class Visits(Protocol):
    """Tells whose visit a request is."""

    def current(self, cookies: Mapping[str, str]) -> Visit | None:
        """The visit that these cookies belong to; None for nobody's."""
        ...
