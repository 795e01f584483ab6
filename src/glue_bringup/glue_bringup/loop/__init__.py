"""The local loop: one process that runs perception, policy, safety and arm together, in sync or in real time."""
