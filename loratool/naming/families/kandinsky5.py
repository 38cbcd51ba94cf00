"""Kandinsky 5. Native names are those of diffusers; with visual conditioning the input has 132 channels."""

from ..family import Family, Tree, encoders, tree

TABLE = """
time_embeddings.in_layer                                 =  timexh     bias
time_embeddings.out_layer                                =  timextime  bias
text_embeddings.in_layer                                 =  hx3584     bias
pooled_text_embeddings.in_layer                          =  timex768   bias
visual_embeddings.in_layer                               =  hxin       bias
text_transformer_blocks.N.text_modulation.out_layer      =  6hxtime    bias N=0-text
text_transformer_blocks.N.self_attention.to_query        =  hxh        bias N=0-text
text_transformer_blocks.N.self_attention.to_key          =  hxh        bias N=0-text
text_transformer_blocks.N.self_attention.to_value        =  hxh        bias N=0-text
text_transformer_blocks.N.self_attention.out_layer       =  hxh        bias N=0-text
text_transformer_blocks.N.feed_forward.in_layer          =  fxh        N=0-text
text_transformer_blocks.N.feed_forward.out_layer         =  hxf        N=0-text
visual_transformer_blocks.N.visual_modulation.out_layer  =  9hxtime    bias N=0-last
visual_transformer_blocks.N.self_attention.to_query      =  hxh        bias N=0-last
visual_transformer_blocks.N.self_attention.to_key        =  hxh        bias N=0-last
visual_transformer_blocks.N.self_attention.to_value      =  hxh        bias N=0-last
visual_transformer_blocks.N.self_attention.out_layer     =  hxh        bias N=0-last
visual_transformer_blocks.N.cross_attention.to_query     =  hxh        bias N=0-last
visual_transformer_blocks.N.cross_attention.to_key       =  hxh        bias N=0-last
visual_transformer_blocks.N.cross_attention.to_value     =  hxh        bias N=0-last
visual_transformer_blocks.N.cross_attention.out_layer    =  hxh        bias N=0-last
visual_transformer_blocks.N.feed_forward.in_layer        =  fxh        N=0-last
visual_transformer_blocks.N.feed_forward.out_layer       =  hxf        N=0-last
out_layer.modulation.out_layer                           =  2hxtime    bias
out_layer.out_layer                                      =  64xh       bias
text_embeddings.norm                                     =  norm
pooled_text_embeddings.norm                              =  norm
text_transformer_blocks.N.self_attention.query_norm      =  norm       N=0-text
text_transformer_blocks.N.self_attention.key_norm        =  norm       N=0-text
visual_transformer_blocks.N.self_attention.query_norm    =  norm       N=0-last
visual_transformer_blocks.N.self_attention.key_norm      =  norm       N=0-last
visual_transformer_blocks.N.cross_attention.query_norm   =  norm       N=0-last
visual_transformer_blocks.N.cross_attention.key_norm     =  norm       N=0-last
"""


def _tree(width: int, text: int, visual: int, time: int, channels: int) -> Tree:
    sizes = {"h": width, "f": 4 * width, "text": text - 1, "last": visual - 1, "time": time, "in": channels}
    return tree("kandinsky5", TABLE, sizes)


FAMILY = Family(
    id="kandinsky5", title="Kandinsky 5",
    trees={"lite": _tree(1792, 2, 32, 512, 132), "lite-image": _tree(2560, 2, 50, 512, 64),
           "pro": _tree(4096, 4, 60, 1024, 132)},
    encoders=encoders("""
qwen2.5-vl-7b  text_encoder    qwen25_7b  lora_te_ lora_te1_
clip-l         text_encoder_2  clip_l     lora_te2_
"""),
)
