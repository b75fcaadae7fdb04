"""Pages as Markdown, HTML and terminal text."""
