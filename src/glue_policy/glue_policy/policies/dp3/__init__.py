"""3D Diffusion Policy."""
