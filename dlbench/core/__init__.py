"""Types, protocols, errors, statistics and metrics: the ground floor, standard library only."""
