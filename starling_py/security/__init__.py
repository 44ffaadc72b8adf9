"""Who may do what: names by pattern, addresses by network, passwords and the file of users."""
