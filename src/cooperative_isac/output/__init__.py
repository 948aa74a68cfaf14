"""What commands leave on the screen and on disk."""
