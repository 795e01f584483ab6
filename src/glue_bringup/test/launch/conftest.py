"""Graphs under test in a domain of their own: a graph that somebody runs on this computer is not their business."""

import os
import signal

os.environ["ROS_DOMAIN_ID"] = str(os.getpid() % 100)

# A job that a script started in the background ignores Ctrl-C; so would the launches that it starts, and ends by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
