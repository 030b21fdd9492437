"""What the champion is worth."""
