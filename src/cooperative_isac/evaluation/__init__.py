"""Monte-Carlo experiments over many drawn frames."""
