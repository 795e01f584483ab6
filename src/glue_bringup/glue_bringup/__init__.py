"""Robot, safety, simulation twin, recording and the `glue` command."""
