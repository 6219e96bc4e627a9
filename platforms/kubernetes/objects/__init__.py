"""What is written to a cluster: the manifests of a stack."""
