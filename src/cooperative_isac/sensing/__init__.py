"""What one access point extracts from its own echo."""
