"""Global-local unified encoding, diffusion policy, training and evaluation."""
