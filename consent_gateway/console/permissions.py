"""Who of the officers may do what, by page and by API: one table of acts and roles; pure, and the only place of it."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from consent_gateway.errors import OfficerNotPermitted
from consent_gateway.officers.registry import Role


class Doing(StrEnum):
    """What an officer does; closed list. Every page and form of the console and every call for a role names one."""

    SEE_OVERVIEW = "see_overview"
    SEE_DECISIONS = "see_decisions"
    SEE_REQUESTS = "see_requests"
    WORK_REQUESTS = "work_requests"
    REVIEW_PACKAGE = "review_package"
    SEE_PEOPLE = "see_people"
    ASK_REIDENTIFICATION = "ask_reidentification"
    DECIDE_REIDENTIFICATION = "decide_reidentification"
    SEE_POLICIES = "see_policies"
    SEE_LOG = "see_log"
    EXPORT_LOG = "export_log"
    SEE_RECIPIENTS = "see_recipients"
    ACT_ON_DELIVERIES = "act_on_deliveries"
    SEE_KEYS = "see_keys"
    SEE_SETTINGS = "see_settings"
    SEE_REPORTS = "see_reports"
    RUN_REPORTS = "run_reports"
    LEAVE = "leave"


_EVERY = frozenset(Role)
_OFFICER, _AUDITOR, _OPERATOR, _EDITOR = Role.OFFICER, Role.AUDITOR, Role.OPERATOR, Role.POLICY_EDITOR

PERMITTED: Mapping[Doing, frozenset[Role]] = MappingProxyType(
    {
        Doing.SEE_OVERVIEW: _EVERY,
        Doing.SEE_DECISIONS: frozenset({_OFFICER, _AUDITOR}),
        Doing.SEE_REQUESTS: frozenset({_OFFICER, _AUDITOR}),
        Doing.WORK_REQUESTS: frozenset({_OFFICER}),
        Doing.REVIEW_PACKAGE: frozenset({_OFFICER}),
        Doing.SEE_PEOPLE: frozenset({_OFFICER, _AUDITOR, Role.REIDENTIFY, Role.APPROVE_REIDENTIFICATION}),
        Doing.ASK_REIDENTIFICATION: frozenset({Role.REIDENTIFY}),
        Doing.DECIDE_REIDENTIFICATION: frozenset({Role.REIDENTIFY, Role.APPROVE_REIDENTIFICATION}),
        Doing.SEE_POLICIES: frozenset({_OFFICER, _AUDITOR, _OPERATOR, _EDITOR}),
        Doing.SEE_LOG: frozenset({_AUDITOR}),
        Doing.EXPORT_LOG: frozenset({_AUDITOR}),
        Doing.SEE_RECIPIENTS: frozenset({_OFFICER, _AUDITOR, _OPERATOR}),
        Doing.ACT_ON_DELIVERIES: frozenset({_OPERATOR}),
        Doing.SEE_KEYS: frozenset({_AUDITOR, _OPERATOR}),
        Doing.SEE_SETTINGS: frozenset({_OPERATOR}),
        Doing.SEE_REPORTS: frozenset({_OFFICER, _AUDITOR}),
        Doing.RUN_REPORTS: frozenset({_OFFICER, _AUDITOR}),
        Doing.LEAVE: _EVERY,
    }
)
"""Each act and the roles of which one is enough. An act that is not here is nobody's."""


def may(roles: frozenset[Role], doing: Doing) -> bool:
    """Whether an officer with these roles may do it."""
    return bool(roles & PERMITTED.get(doing, frozenset()))


def needed(doing: Doing) -> tuple[Role, ...]:
    """The roles of which one is enough, in order of their names."""
    return tuple(sorted(PERMITTED.get(doing, ())))


def not_permitted(doing: Doing) -> OfficerNotPermitted:
    """What an officer is told who may not do it."""
    roles = " or ".join(f"`{role}`" for role in needed(doing))
    return OfficerNotPermitted(f"this needs the role {roles or 'that nobody holds'}: ask the operator for it")
