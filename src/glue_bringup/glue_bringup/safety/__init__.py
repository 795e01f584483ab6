"""The only source of robot targets: supervisor, executor, watchdogs."""
