"""The GLUE-S policy: GLUE without the distilled local feature."""
