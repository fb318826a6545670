"""Software-engineering tasks: rows of the SWE-bench family, and tasks made from any repository."""
