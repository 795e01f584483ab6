"""Arm drivers and robot limits."""
