"""The stack on a Docker engine, through Pulumi or as a Compose file."""
