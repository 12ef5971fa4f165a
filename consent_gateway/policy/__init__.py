"""The policy room: from documents that a compliance officer writes to decisions, field by field.

`load_policies` reads and checks, `decide` answers. The way between is documents, compiler, intermediate form
(`ir`) and table; `checks` proves what can be proved about a policy, `cases` tries it on written examples.
"""

from consent_gateway.policy.decide import decide, decide_category
from consent_gateway.policy.loading import Policies, load_policies, policies_from
from consent_gateway.policy.rulebook import Rulebook, RuleText

__all__ = ("Policies", "RuleText", "Rulebook", "decide", "decide_category", "load_policies", "policies_from")
