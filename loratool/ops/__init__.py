"""Operations: pure, layer by layer, from adapters to a Plan that ``run`` executes."""
