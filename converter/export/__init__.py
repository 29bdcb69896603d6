"""And back: a series, as it is or as somebody changed it, becomes patch files."""
