"""The ROS 2 graph: thin shells that connect components to topics, services and parameters."""
