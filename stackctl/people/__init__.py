"""Who may come in: connections, logins, sessions and their end."""
