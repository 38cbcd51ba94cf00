"""Cosmos-Predict 2."""

from ..family import Family, encoders
from .cosmos import cosmos

FAMILY = Family(
    id="cosmos-predict2", title="Cosmos-Predict 2",
    trees={"2b": cosmos("cosmos-predict2", 2048, 28), "14b": cosmos("cosmos-predict2", 5120, 36)},
    encoders=encoders("""
t5-11b  text_encoder  t5xxl  lora_te_
"""),
)
