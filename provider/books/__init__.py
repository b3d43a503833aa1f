"""The owner's books: who took what, how it ended, and which dataset fails."""
