"""Names: families, dialects, addresses. Strings only; neither numpy nor torch."""
