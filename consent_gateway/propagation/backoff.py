"""When a delivery that failed is tried again, and when it is given up; pure, draws no random number itself."""

from datetime import timedelta

FIRST = timedelta(seconds=1)
LONGEST = timedelta(hours=4)
GIVEN_UP_AFTER = timedelta(days=5)
"""A change that failed for so long becomes a dead letter."""

OPENS_AFTER = 5
"""So many failures in a row and the destination itself is taken to be down: only one change at a time is tried."""


def pause(failures: int, draw: float) -> timedelta:
    """How long to wait after so many failures (from 1): twice as long each time, within half and whole of that.

    `draw` lies in [0, 1) and spreads those who failed together; the first pause is at least half a second, the
    longest four hours.
    """
    doubled = min(FIRST * (1 << min(failures - 1, 20)), LONGEST)
    return doubled / 2 + doubled / 2 * draw


def is_given_up(failing_for: timedelta) -> bool:
    """Whether a change that first failed so long ago is a dead letter after one more failure."""
    return failing_for >= GIVEN_UP_AFTER
