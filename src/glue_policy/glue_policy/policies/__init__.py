"""Policies, one folder each, behind one contract."""
