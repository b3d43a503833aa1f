"""The API's description: OpenAPI 3.1, made from the routes and request values that serve. Pure."""
