"""What turning a person's pseudonym back costs: `python -m bench.reversal [people]`, on a key database of its own."""

import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from consent_gateway.database import KEY_METADATA, open_engine
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.pseudonyms import pseudonym_of_person
from consent_gateway.protection.reverse import Reverser


class _Now:
    def now(self) -> datetime:
        return datetime.now(UTC)


def main(people: int) -> None:
    """Make so many people, and look up the one whose keys are read last."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{Path(folder) / 'keys.db'}", threads=2)
        KEY_METADATA.create_all(engine)
        ring = KeyRing(FileKeyProvider.create(Path(folder) / "root.key"), engine, "bench", _Now())
        names = [f"ds_{number:026d}" for number in range(people)]
        ring.create_many(names)
        key, seed = ring.domain_key("analytics", "agency"), ring.person_keys(names[-1]).seed
        text = pseudonym_of_person(seed, key.secret, key.key_id, "bench")
        started = time.perf_counter()
        found = Reverser(ring, "bench").reverse(text, field=None, purpose="analytics", recipient="agency")
        seconds = time.perf_counter() - started
        assert found.data_subject == names[-1]
        ring.close()
        engine.dispose()
    print(f"look-up among {people:,} people: {seconds:.1f} s, {seconds / people * 1e6:.1f} s for a million")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
