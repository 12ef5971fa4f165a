"""Measurements, side by side in one run; quote ratios, never absolute figures. Run by `make bench`."""
