"""Duties are looked up by deadline, transactions by the block that shows what became of them."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index(op.f("ix_duties_deadline"), "duties", ["deadline"], unique=False)
    op.create_index(op.f("ix_transactions_block"), "transactions", ["block"], unique=False)
