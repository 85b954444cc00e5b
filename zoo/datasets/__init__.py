"""Real data: where it comes from, its licence, how it is read. One file a data set."""
