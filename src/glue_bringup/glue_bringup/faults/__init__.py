"""Faults on purpose: a table of them, a bench to inject them on, and a fuzzer of chunks."""
