"""A plan becomes commits: patches applied to a base tree in the object database."""

VERSION = "0.1.0"
