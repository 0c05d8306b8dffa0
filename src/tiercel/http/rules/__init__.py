"""The rules of a shared HTTP cache as pure functions: requests, responses and the time in, decisions out."""
