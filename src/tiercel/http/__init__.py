"""HTTP: the embedded edge, and middleware that caches an application's responses and says how they may be cached."""
