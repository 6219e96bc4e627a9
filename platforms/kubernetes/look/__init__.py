"""What is read back from a cluster: for `doctor`."""
