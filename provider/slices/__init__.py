"""The slice cache: keeps slices of remote files on disk, and fills each slice once for all readers that wait."""
