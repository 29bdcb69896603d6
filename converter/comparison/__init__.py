"""Two published builds compared."""
