"""What a station subscribes to: announcements, odometry of targets, poses, echoes."""
