"""The simulation twin: scene, tasks, experts, servers."""
