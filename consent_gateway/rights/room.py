"""The rights room put together, as other rooms get it; decides nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from consent_gateway.rights.carrying import Handing, Mending
from consent_gateway.rights.handling import Handling
from consent_gateway.rights.intake import Intake
from consent_gateway.rights.letter_desk import LetterDesk
from consent_gateway.rights.own import OwnRequests
from consent_gateway.rights.proofs import Proofs
from consent_gateway.rights.recipients import RecipientNotices
from consent_gateway.rights.regimes import Laws
from consent_gateway.rights.retention_daily import DailyRetention
from consent_gateway.rights.strangers import Strangers


@dataclass(frozen=True, slots=True)
class RightsRoom:
    """Requests from their coming in to their end. `channel` is that of what officers enter.

    `letters` are those about requests, `notices` those to recipients, `handing` is what officers do with packages,
    `mending` with corrections, `own` what people do by their page, `strangers` what those do who are not signed in, and
    `daily` what the worker does once a day with what has passed its time; None where one of them is not built.
    """

    laws: Laws
    intake: Intake
    proofs: Proofs
    handling: Handling
    channel: str
    handing: Handing | None = None
    own: OwnRequests | None = None
    mending: Mending | None = None
    daily: DailyRetention | None = None
    strangers: Strangers | None = None
    letters: LetterDesk | None = None
    notices: RecipientNotices | None = None

    @property
    def purges(self) -> tuple[Callable[[], int], ...]:
        """What the background worker deletes when its time is over."""
        letters = () if self.letters is None else (self.letters.purge,)
        mending = () if self.mending is None else (self.mending.correcting.purge,)
        return (self.proofs.purge, self.handling.purge, *letters, *mending)

    @property
    def resumes(self) -> tuple[Callable[[], int], ...]:
        """What the background worker goes on with where it was cut short."""
        return () if self.mending is None else (self.mending.correcting.resume,)
