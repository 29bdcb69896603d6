"""A plan becomes commits: patches applied to a base tree in the object database."""
