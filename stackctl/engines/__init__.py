"""What brings a stack up: the Pulumi CLI, Compose, or kubectl with rendered files."""
