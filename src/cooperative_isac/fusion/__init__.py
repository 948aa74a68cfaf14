"""What several access points know together: paths to targets."""
