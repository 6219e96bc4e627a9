"""WHAT the stack is: components turn settings into workloads, and make nothing for a target."""
