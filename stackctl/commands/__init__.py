"""The commands of `stackctl`, one module for each group of them."""
