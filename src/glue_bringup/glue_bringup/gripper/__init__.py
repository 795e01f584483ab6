"""Gripper drivers."""
