"""Bags (rosbag2 folders with MCAP files): recording, playback, repair and replay."""
