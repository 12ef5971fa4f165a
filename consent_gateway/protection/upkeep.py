"""What an operator does with the keys: close an epoch, rotate the root, back up, restore; on no request's path.

Evidence of each is handed to `account`, which is to make it durable in the audit log; this room knows no log.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.engine import Engine

from consent_gateway.errors import InputRefused
from consent_gateway.ids import new_id
from consent_gateway.ports import Clock, KeyProvider
from consent_gateway.protection.backups import Backup, Backups
from consent_gateway.protection.epochs import EpochSteps
from consent_gateway.protection.jobs import At, Job, Jobs, Progress, Step, unhindered
from consent_gateway.protection.key_database import KeyDatabase
from consent_gateway.protection.named_keys import NamedKeys
from consent_gateway.protection.root import RootSteps, State

CLOSE_EPOCH = "close-epoch"
ROTATE_ROOT = "rotate root"


@dataclass(frozen=True, slots=True)
class KeyEvidence:
    """What a piece of work on the keys came to; repeated with the same `entry_id` after a kill.

    `versions_before` and `versions_after` are the provider's own word on which root versions still unwrap, which they
    do for `destruction_delay_days` after it. `erased` people could be read from older back-ups until now and cannot any
    more (0 where no epoch was closed). `removed` are the dead back-ups that were deleted.
    """

    entry_id: str
    work: str
    started_at: datetime
    at: datetime
    epoch: int
    closed: int | None
    people: int
    erased: int
    backup: str
    digest: str
    versions_before: tuple[int, ...]
    versions_after: tuple[int, ...]
    destruction_delay_days: int
    removed: tuple[str, ...]


Account = Callable[[KeyEvidence], None]


class KeyUpkeep:
    """The operator's work on the keys of one tenant. One job at a time, over all processes and machines."""

    def __init__(self, provider: KeyProvider, key_engine: Engine, tenant: str, clock: Clock, account: Account) -> None:
        self._provider = provider
        self._database = KeyDatabase(key_engine)
        self._tenant = tenant
        self._clock = clock
        self._account = account
        self._named = NamedKeys(provider, self._database, tenant, clock)
        self._backups = Backups(provider, self._database, self._named, tenant, clock)
        self._jobs = Jobs(self._database, clock)

    def close_epoch(
        self,
        folder: Path,
        progress: Progress,
        *,
        remove_dead: bool = False,
        every_shard: bool = False,
        at: At = unhindered,
    ) -> KeyEvidence:
        """Make every older back-up of the key table useless for those erased, and keep everybody living.

        With `every_shard` all shards get fresh keys, as after a leak, and not only those that lost somebody.
        Cut off anywhere, it goes on when it is called again. Raises `Conflict` while another job runs,
        `SettingsRefused` where the root is on one disk only, `InputRefused` where `folder` cannot take a back-up.
        """
        root = self._root_steps(folder, progress)
        epoch = EpochSteps(
            provider=self._provider,
            database=self._database,
            backups=self._backups,
            tenant=self._tenant,
            clock=self._clock,
            progress=progress,
            at=at,
        )
        steps: list[Step] = [
            ("rotated", root.rotate),
            ("opened", epoch.open_next),
            ("re-wrapped", epoch.rewrap_people),
            ("named", root.rewrap_named),
            ("backed-up", root.back_up),
            ("retired", root.retire),
            ("dropped", epoch.drop_old),
        ]
        asked = {"remove_dead": remove_dead, "every_shard": every_shard}
        return self._run(CLOSE_EPOCH, root, steps, folder, asked, at)

    def rotate_root(
        self, folder: Path, progress: Progress, *, remove_dead: bool = False, at: At = unhindered
    ) -> KeyEvidence:
        """Put everything that hangs from the root under a new version of it and destroy the old; like `close_epoch`,
        but no person's keys are touched, and so nobody's erasure reaches older back-ups by it.
        """
        root = self._root_steps(folder, progress)
        steps: list[Step] = [
            ("rotated", root.rotate),
            ("epoch", root.rewrap_epoch),
            ("named", root.rewrap_named),
            ("backed-up", root.back_up),
            ("retired", root.retire),
            ("listed", root.list_back_up),
        ]
        return self._run(ROTATE_ROOT, root, steps, folder, {"remove_dead": remove_dead}, at)

    def back_up(self, folder: Path, progress: Progress) -> Backup:
        """A verified back-up of the key table in a new file of `folder`. Raises `Conflict` while a job is unfinished,
        for then part of the people are under each of two epochs.
        """
        _refuse_unusable(folder)
        with self._database.alone():
            self._jobs.refuse_unless_idle()
            made = self._backups.write(folder, self._clock.now(), None, progress)
            with self._database.transaction() as connection:
                self._backups.note(connection, made)
        return made

    def verify(self, file: Path, progress: Progress) -> Backup:
        """What a back-up holds, after reading it whole; raises as `Backups.verify` does."""
        return self._backups.verify(_existing(file), progress)

    def restore(self, file: Path, progress: Progress) -> Backup:
        """Fill an empty key database from a back-up, verified first. Raises `Conflict` onto one that is not empty."""
        with self._database.alone():
            return self._backups.restore(_existing(file), progress)

    def close(self) -> None:
        """Forget what is unwrapped and give the connections back."""
        self._named.forget()
        self._database.close()

    def _root_steps(self, folder: Path, progress: Progress) -> RootSteps:
        return RootSteps(
            provider=self._provider,
            database=self._database,
            named=self._named,
            backups=self._backups,
            tenant=self._tenant,
            folder=folder,
            progress=progress,
        )

    def _run(self, work: str, root: RootSteps, steps: list[Step], folder: Path, asked: State, at: At) -> KeyEvidence:
        _refuse_unusable(folder)

        def first() -> State:
            return {**root.first(new_id("key", self._clock.now())), **asked}

        def account(job: Job) -> State:
            self._account(self._evidence(job))
            return {}

        last: list[Step] = [("removed", root.remove_dead), ("accounted", account)]
        return self._evidence(self._jobs.run(work, first, [*steps, *last], at))

    def _evidence(self, job: Job) -> KeyEvidence:
        state = job.state
        closed: int | None = state.get("closed")
        return KeyEvidence(
            entry_id=state["entry_id"],
            work=job.kind,
            started_at=job.started_at,
            at=self._clock.now() if job.finished_at is None else job.finished_at,
            epoch=state["epoch"],
            closed=closed,
            people=state["people"],
            erased=0 if closed is None else state["destroyed"] - state["destroyed_before"],
            backup=Path(state["file"]).name,
            digest=state["digest"],
            versions_before=tuple(state["versions_before"]),
            versions_after=tuple(state["versions_after"]),
            destruction_delay_days=self._provider.describe().destruction_delay_days,
            removed=tuple(state["removed"]),
        )


def _refuse_unusable(folder: Path) -> None:
    """Found out before anything is changed, not half-way."""
    if not folder.is_dir():
        raise InputRefused(f"`{folder}` is not a directory: make it, with mode 0700")
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        raise InputRefused(f"`{folder}` has mode {mode:04o}: run `chmod 700` on it, others must not read it")


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise InputRefused(f"there is no file `{file}`: name a back-up that `keys backup` or a closing made")
    return file
