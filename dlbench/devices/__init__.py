"""One file a device kind; the file name is the registration."""
