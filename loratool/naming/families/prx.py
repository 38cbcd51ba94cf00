"""PRX of Photoroom. Native names are those of diffusers; q, k and v of the image are one module on both sides."""

from ..family import Family, tree

TREE = tree("prx", """
img_in                           =    1792x64      bias
time_in.in_layer                 =    1792x256     bias
time_in.out_layer                =    1792x1792    bias
txt_in                           =    1792x2304    bias
blocks.N.attention.img_qkv_proj  =    5376x1792    N=0-15
blocks.N.attention.txt_kv_proj   =    3584x1792    N=0-15
blocks.N.attention.to_out.0      =    1792x1792    N=0-15
blocks.N.gate_proj               =    6272x1792    N=0-15
blocks.N.up_proj                 =    6272x1792    N=0-15
blocks.N.down_proj               =    1792x6272    N=0-15
blocks.N.modulation.lin          =    10752x1792   bias N=0-15
final_layer.linear               =    64x1792      bias
final_layer.adaLN_modulation.1   =    3584x1792    bias
blocks.N.attention.norm_q        =    norm         N=0-15
blocks.N.attention.norm_k        =    norm         N=0-15
blocks.N.attention.norm_added_k  =    norm         N=0-15
""")

FAMILY = Family(id="prx", title="PRX", trees={"": TREE})
