"""Measures the latencies of a set-up: camera, arm, gripper."""
