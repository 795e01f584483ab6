"""Graphs under test in a domain of their own: a graph that somebody runs on this computer is not their business."""

import os

os.environ["ROS_DOMAIN_ID"] = str(os.getpid() % 100)
