"""A person moves the arm: input devices and what they command."""
