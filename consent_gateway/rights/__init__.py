"""What a person may demand and by when: requests, their legal clocks, identity proof; knows no web framework."""
