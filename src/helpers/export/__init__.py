"""Export (10): the champion, its formats, the registry, the page for the browser."""
