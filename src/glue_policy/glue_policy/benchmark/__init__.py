"""Measurements of a policy's step."""
