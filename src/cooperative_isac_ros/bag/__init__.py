"""rosbag2 directories (MCAP): record, play, look into, and replay through the center."""
