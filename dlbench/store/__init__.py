"""Result documents on disk: strict reading, durable writing."""
