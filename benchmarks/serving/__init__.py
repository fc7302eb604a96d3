"""The HTTP server: sounds a second beside a plain endpoint, and a stress test."""
