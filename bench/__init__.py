"""Measurements, never imported by the service. A claim of speed is a ratio of systems that took turns in one run."""
