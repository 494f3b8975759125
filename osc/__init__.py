"""osc changes big, busy PostgreSQL tables while the application keeps reading and writing."""

__version__ = "0.1.0"
