"""What a patch file that is no mail says of itself: author, date, message (pure)."""
