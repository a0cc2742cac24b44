"""What several reports compute."""
