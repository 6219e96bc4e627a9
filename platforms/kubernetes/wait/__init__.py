"""What is waited for in a cluster: workloads that serve, and conditions of objects."""
