"""Deletes what requests hold of a person beside ids and dates, in the caller's transaction; decides nothing.

The requests themselves stay: that they came and how they were answered is to be shown for years (11 CCR 7101).
"""

import sqlalchemy as sa

from consent_gateway.rights.correction_tables import CORRECTIONS
from consent_gateway.rights.erasure_tables import ACCESS_PACKAGES
from consent_gateway.rights.tables import RIGHTS_CODES, RIGHTS_LETTERS, RIGHTS_REQUESTS

_T = RIGHTS_REQUESTS.c


def forget_details(connection: sa.Connection, data_subject: str) -> None:
    """Delete identifier and words of all requests of an erased person, codes that wait, packages and corrections."""
    connection.execute(sa.delete(ACCESS_PACKAGES).where(ACCESS_PACKAGES.c.data_subject == data_subject))
    held = (CORRECTIONS.c.data_subject == data_subject, CORRECTIONS.c.sealed.is_not(None))
    ended = sa.case((CORRECTIONS.c.state.in_(("proposed", "running")), "withdrawn"), else_=CORRECTIONS.c.state)
    connection.execute(sa.update(CORRECTIONS).where(*held).values(sealed=None, forget_at=None, state=ended))
    _forget(connection, _T.data_subject == data_subject)
    requests = sa.select(_T.request_id).where(_T.data_subject == data_subject)
    connection.execute(sa.update(RIGHTS_LETTERS).where(RIGHTS_LETTERS.c.request_id.in_(requests)).values(address=None))


def forget_expired(connection: sa.Connection, today: str) -> int:
    """Delete them of requests whose time to prove identity is over, and say of how many."""
    over = sa.and_(_T.state == "identity_pending", _T.prove_until < today, _T.sealed.is_not(None))
    return _forget(connection, over)


def _forget(connection: sa.Connection, of: sa.ColumnElement[bool]) -> int:
    theirs = sa.select(_T.request_id).where(of)
    connection.execute(sa.delete(RIGHTS_CODES).where(RIGHTS_CODES.c.request_id.in_(theirs)))
    # The version goes up, so that whoever read the request before does not write back what is gone.
    # An erasure at work owes its person one letter still: its address goes with that one.
    last = sa.case((sa.and_(_T.right == "delete", _T.running), _T.reply_to), else_=None)
    gone = sa.update(RIGHTS_REQUESTS).where(of).values(sealed=None, reply_to=last, version=_T.version + 1)
    return connection.execute(gone).rowcount
