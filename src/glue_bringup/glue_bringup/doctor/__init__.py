"""What `glue doctor` looks at: readings of this computer and robot, and pure checks over them."""
