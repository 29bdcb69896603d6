"""What would %prep do? Foreign code runs only here, and only in the sandbox."""
