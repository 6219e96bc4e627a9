"""WHERE the stack runs: the seam that components speak to, and a room for each target."""
