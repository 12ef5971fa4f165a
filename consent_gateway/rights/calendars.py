"""Public holidays by the name of a calendar, such as `IE`, `DE-BY` or `US`; computed, not fetched."""

import holidays

from consent_gateway.errors import FieldFault, InputRefused
from consent_gateway.policy.findings import nearest
from consent_gateway.rights.clocks import Holidays


def calendar_of(name: str) -> Holidays:
    """The holidays of a country, or of a part of it after a hyphen. Raises `InputRefused` for an unknown name."""
    country, separator, part = name.partition("-")
    known = holidays.list_supported_countries(include_aliases=False)
    if country not in known:
        raise _unknown(name, nearest(country, [each for each in known if len(each) == 2]))
    if separator and part not in known[country]:
        raise _unknown(name, nearest(name, [country, *(f"{country}-{each}" for each in known[country])]))
    return holidays.country_holidays(country, subdiv=part or None)


def _unknown(name: str, mend: str) -> InputRefused:
    message = f"unknown calendar `{name[:16]}`; {mend}"
    return InputRefused(message, (FieldFault("/calendar", message),))
