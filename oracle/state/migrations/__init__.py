"""How a state that an older version made becomes one of this version. Run by Alembic."""
