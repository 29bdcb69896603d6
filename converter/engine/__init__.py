"""The patch engine: bytes and a tree in, a report out, by the rules of patch(1) or of git apply."""
