"""Measurements, side by side in one run and reported as ratios: absolute numbers belong to the machine."""
