"""What runs in the sandbox, under the system's Python: the standard library and rpm's binding only."""
