"""What the nodes exchange: records, and their conversion to messages and back."""
