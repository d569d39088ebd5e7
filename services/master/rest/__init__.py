"""The RESTful entrance: JSON over HTTP/1.1."""
