"""`provider file`, for publishers: checks whether a file can be downloaded, and encrypts the file list of a DDO."""
