"""WHAT the stack is: components turn settings into workloads, and know no target."""
