"""Data sets on disk: shards that are proved by checksums, filled by one process or several, read whole or in part."""
