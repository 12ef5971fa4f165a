"""`python -m consent_gateway` is the `consent-gateway` command."""

from consent_gateway.cli import main

main()
