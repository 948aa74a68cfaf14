"""Records that the nodes exchange, and their conversion to ROS messages and back."""
