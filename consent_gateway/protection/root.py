"""The steps that any change of the root goes through: a new version, everything under it, a back-up, the old one gone.

Each is a step of a job (`jobs`): it may be carried out twice and comes to the same. The order is what keeps everybody's
keys: a root version is retired only after a back-up that needs none of the old ones has been read back from disk.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consent_gateway.errors import Conflict, SettingsRefused
from consent_gateway.ports import KeyProvider, RootKept
from consent_gateway.protection.backups import Backup, Backups, digest_in, mark
from consent_gateway.protection.hierarchy import Hierarchy
from consent_gateway.protection.jobs import Job, Progress
from consent_gateway.protection.key_database import KeyDatabase
from consent_gateway.protection.named_keys import NamedKeys
from consent_gateway.protection.tables import EPOCHS, KEY_BACKUPS

State = Mapping[str, Any]


class RootSteps:
    """The steps of one run. `folder` takes its back-up; its state says by `remove_dead` whether older ones go."""

    def __init__(
        self,
        *,
        provider: KeyProvider,
        database: KeyDatabase,
        named: NamedKeys,
        backups: Backups,
        tenant: str,
        folder: Path,
        progress: Progress,
    ) -> None:
        self._provider = provider
        self._database = database
        self._named = named
        self._backups = backups
        self._keys = Hierarchy(tenant)
        self._folder = folder
        self._progress = progress

    def first(self, entry_id: str) -> State:
        """What a run begins with. Raises `SettingsRefused` or `Conflict`, changing nothing, where it must not begin."""
        versions = list(self._provider.versions())  # refuses a copy that is missing or another
        if self._provider.describe().root_kept is RootKept.ONCE:
            raise SettingsRefused(
                "the root keys are on one disk only: set CONSENT_GATEWAY_KEY_FILE_COPY to a path on another medium, so"
                " that no disk can take everybody's keys with it"
            )
        with self._database.reading() as connection:
            epoch = connection.execute(sa.select(sa.func.max(EPOCHS.c.epoch))).scalar_one()
            closings = sa.select(sa.func.max(KEY_BACKUPS.c.destroyed)).where(KEY_BACKUPS.c.ends_epoch.is_not(None))
            before = connection.execute(closings).scalar_one() or 0
        if epoch is None:
            raise Conflict(
                "no person has a key yet: nothing to close or rotate; a key is made with the first sealed value or"
                " pseudonym"
            )
        return {
            "entry_id": entry_id,
            "epoch_before": epoch,
            "versions_before": versions,
            "destroyed_before": before,
        }

    def rotate(self, job: Job) -> State:
        """A new root version, once."""
        if tuple(self._provider.versions()) == tuple(job.state["versions_before"]):
            self._provider.rotate()
        return {"root": self._provider.versions()[-1]}

    def rewrap_epoch(self, job: Job) -> State:
        """The present epoch's key under the new root version; nobody's own keys are touched."""
        with self._database.shut() as connection:
            c = EPOCHS.c
            for row in connection.execute(sa.select(c.epoch, c.wrapped).where(c.wrapped.is_not(None))).all():
                context = self._keys.epoch_context(row.epoch)
                wrapped = self._provider.wrap(self._provider.unwrap(row.wrapped, context), context)
                connection.execute(EPOCHS.update().where(c.epoch == row.epoch).values(wrapped=wrapped))
        return {"epoch": job.state["epoch_before"]}

    def rewrap_named(self, _job: Job) -> State:
        """Every named key under the new root version."""
        return {"named": self._named.rewrap()}

    def back_up(self, job: Job) -> State:
        """A back-up that opens under the new root version alone, read back from disk."""
        before, present = job.state["epoch_before"], job.state["epoch"]
        made = self._backups.write(self._folder, job.started_at, before if present != before else None, self._progress)
        return {
            "file": str(made.file),
            "digest": made.digest,
            "people": made.people,
            "destroyed": made.destroyed,
        }

    def retire(self, job: Job) -> State:
        """Every root version before the new one is destroyed: back-ups that need one are dead from here on.

        A back-up that somebody removed since it was verified, while a run was cut off, is made again first.
        """
        made = {} if Path(job.state["file"]).is_file() else self.back_up(job)
        for version in self._provider.versions():
            if version < job.state["root"]:
                self._provider.retire(version)
        return {**made, "versions_after": list(self._provider.versions())}

    def list_back_up(self, job: Job) -> State:
        """The back-up is named in the key database."""
        with self._database.transaction() as connection:
            self._backups.note(connection, backup_of(job))
        return {}

    def remove_dead(self, job: Job) -> State:
        """Delete the listed back-ups that this run has made useless, where that was asked for.

        Only what lies in the run's own folder, and only where the file still says that it is the one that was listed:
        a list that came here from another installation names that one's living back-ups.
        """
        if not job.state["remove_dead"]:
            return {"removed": []}
        c = KEY_BACKUPS.c
        with self._database.reading() as connection:
            listed = connection.execute(sa.select(c.file, c.digest).order_by(c.number)).all()
        removed = []
        for row in listed:
            file = Path(row.file)
            if row.file == job.state["file"] or file.parent != self._folder or digest_in(file) != row.digest:
                continue
            file.unlink(missing_ok=True)
            removed.append(row.file)
        return {"removed": removed}


def backup_of(job: Job) -> Backup:
    """The back-up that a job made."""
    state = job.state
    ends = state["epoch_before"] if state["epoch"] != state["epoch_before"] else None
    made_at: datetime = job.started_at
    return Backup(
        Path(state["file"]), made_at, state["digest"], state["epoch"], state["people"], state["destroyed"], ends
    )


def erased_since_closing(connection: sa.Connection) -> int:
    """How many keys were destroyed since the back-up of the last closing: older back-ups can still open these."""
    closings = sa.select(sa.func.max(KEY_BACKUPS.c.destroyed)).where(KEY_BACKUPS.c.ends_epoch.is_not(None))
    return mark(connection, "destroyed") - (connection.execute(closings).scalar_one() or 0)
