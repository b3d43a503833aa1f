"""Opens remote files: a request comes in, an open `Source` with status, headers and body goes out.

Every connection passes the address guard. This room does not know what the bytes are for, nor who receives them.
"""
