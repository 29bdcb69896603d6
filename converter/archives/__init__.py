"""A base made of archives: where they come from, what is in them, the commits that they become."""
