"""rosbag2 directories with MCAP storage, read and written without ROS."""
