"""Published numbers, verdicts, Markdown and figures."""
