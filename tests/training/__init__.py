"""Tests of `training/`: toys only, no shared data."""
