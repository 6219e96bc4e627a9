"""What stacks of earlier releases are made of, a folder for each release, and what has written it down."""
