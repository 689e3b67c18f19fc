"""The command `exactum`: the only part that constructs things."""
