"""The slice cache: keeps slices of remote files on disk and fills each of them once for all who wait."""
