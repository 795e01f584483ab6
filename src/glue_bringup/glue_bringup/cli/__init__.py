"""The `glue` command."""
