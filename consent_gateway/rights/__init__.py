"""Rights of the people concerned: requests, clocks, access, erasure with its proof, retention.

What leaves for a person leaves from here or from the gateway, and nothing is called erased that a scan still finds.
"""
