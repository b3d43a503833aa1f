"""HTTP in and out: one handler per endpoint, the only room that imports tornado.web."""
