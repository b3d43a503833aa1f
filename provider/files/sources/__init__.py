"""Named sources: where files of type `source` come from, with what credentials, and whose assets may sell them."""
