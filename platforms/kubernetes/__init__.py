"""The stack on Kubernetes, through Pulumi or as plain YAML."""
