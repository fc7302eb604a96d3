"""The HTTP server: sounds a second beside a plain endpoint, and hard use."""
