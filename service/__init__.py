"""Messages in, messages out; the composition root."""
