"""Evaluation as an experiment: methods x tasks x conditions on the same seeds, and what follows from it."""
