"""`provider file`, for publishers: what a download of a file would meet, and the encrypted list of a DDO."""
