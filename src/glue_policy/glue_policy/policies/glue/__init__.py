"""The GLUE policy."""
