"""What a person types: options, plans, tables, and what each subcommand does."""
