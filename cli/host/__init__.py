"""What the commands share of this host: its processes and servers, its database, its checks."""
