"""One file a framework; the file name is the registration."""
