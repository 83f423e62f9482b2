"""Short runnable stories; each is also a test."""
