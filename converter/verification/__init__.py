"""The proof: the package's own %prep, held against the converted tree."""
