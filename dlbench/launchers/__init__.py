"""One file a way to start worker processes."""
