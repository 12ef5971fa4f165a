"""Says that a call must fail in a named way; needs no test framework."""

from collections.abc import Callable

from consent_gateway.errors import GatewayError


def refused(kind: type[GatewayError], call: Callable[[], object]) -> GatewayError:
    """The error that the call must raise."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")
