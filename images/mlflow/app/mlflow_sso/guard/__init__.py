"""What stands before the application, whatever the plugin: limits, the hosts it answers for, and headers of answers."""
