"""The room that opens remote files: a checked request in, an open `Source` with status, headers and body out.

Every connection goes through the address guard. What the bytes are for, and who gets them, is not known here.
"""
