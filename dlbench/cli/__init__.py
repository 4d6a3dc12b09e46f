"""The command line: parses, calls, shows; decides nothing."""
