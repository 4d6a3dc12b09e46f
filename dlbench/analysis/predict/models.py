"""Names of models across sources, and the family each belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dlbench.analysis.predict.types import OTHER

# First match wins; a family shares the shape of its work: what it computes for each byte it moves.
_FAMILIES: tuple[tuple[str, str], ...] = (
    ("diffusion", r"diffusion|flux|pixart|hunyuan|sana|wan2|cogvideo|text-to-(image|video)|sdxl"),
    ("recommendation", r"dlrm|ncf|widedeep|wideanddeep|wide_deep|/sim$|vae-?cf|recommend"),
    ("segmentation3d", r"3d.?unet|unet.?3d|nnunet|\bvnet|3d_medical"),
    ("detection", r"ssd|rcnn|efficientdet|retinanet|detect|yolo"),
    ("segmentation", r"unet|segment|deeplab"),
    (
        "speech",
        r"tacotron|waveglow|fastpitch|hifigan|jasper|quartz|wav2vec|rnnt|deepspeech|whisper",
    ),
    ("rnn", r"gnmt|lstm|gru|\brnn"),
    ("llm", r"llama|qwen|gpt|mistral|mixtral|gemma|nemotron|falcon|opt-|bloom|phi-|deepseek"),
    ("encoder", r"bert|electra|bart|transformer|\bt5|roberta"),
    ("forecasting", r"\btft\b|forecast|moflow|drug"),
    (
        "vit",
        (
            r"vit|deit|beit|eva|swin|cait|xcit|mvit|pit_|twins|crossvit|volo|maxvit|coatnet|tnt_|"
            r"sam|siglip|clip|naflex|davit|hiera|nest_|convit|flexi|dino|(?<!conv)mixer|gmlp|resmlp"
        ),
    ),
    (
        "cnn_depthwise",
        (
            r"mobilenet|efficientnet|mnasnet|fbnet|tinynet|ghostnet|mixnet|lcnet|hardcorenas|"
            r"spnasnet|convnext|convmixer|rexnet|edgenext|mobileone|efficientformer|tf_efficient|"
            r"semnasnet|poolformer|caformer|convformer|inception_next"
        ),
    ),
    (
        "cnn",
        (
            r"resnet|resnext|arcface|rn50|regnet|vgg|densenet|inception|dpn|dla|darknet|cspnet|vovnet|"
            r"hrnet|res2net|resnest|selecsls|xception|nfnet|botnet|halonet|convnets|nasnet"
        ),
    ),
)
_COMPILED = tuple((name, re.compile(pattern)) for name, pattern in _FAMILIES)

_ALIASES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (
            r"^(classification/)?(convnets/)?(rn50v1\.5|resnet50v1\.5|resnet-?50|resnet)$",
            "resnet50",
        ),
        (r"^(detection/)?ssd(-small|300)?$", "ssd300"),
        (r"^(segmentation/)?mask-?rcnn$", "maskrcnn"),
        (r"^(recommendation/)?ncf$", "ncf"),
        (r"^(speechsynthesis/)?tacotron2$", "tacotron2"),
        (r"^(translation/)?gnmt$", "gnmt"),
        (r"^mobilenetv3_large_100$", "mobilenet_v3_large"),
        (r"^vit_base_patch16_224$", "vit_b16"),
        (r"^stable-?diffusion(-xl)?$", "stable-diffusion"),
    )
)
_SQUAD = re.compile(r"^(bert_(base|large))_squad$")
_TARGET = re.compile(r"-99(\.9)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What public tables count of a model, where that is no sample of dlbench's."""

    name: str
    flops: float


UNITS = {
    # Sequences of 384 tokens (SQuAD), as dlbench's variant seq384.
    "bert_base": Unit(name="samples/s", flops=70_666_816_512),
    # A token is a sample, since tokens of language models are other work: 25 and 25 in one of ours.
    "gnmt": Unit(name="samples/s", flops=10_553_856_000 / 50),
    # 512 rows by 4,096 by 4,096; in its first version a sample was 1,024 rows by 1,024 by 1,024.
    "gemm": Unit(name="samples/s", flops=17_179_869_184),
}
"""By canonical model, where it is no sample of dlbench's size.

Sequences of another length count as their FLOPs do: on an H200 base BERT does 1,034 units a second at
128 tokens, and 1,413 at 384.
"""


SIZES = {
    "arcface_r50": (6.309330944, 5.871104, 87.490752),
    "bert_base": (35.333408256, 56.623874, 109.483778),
    "deepspeech2": (33.565648, 25.9665, 56.563133),
    "dlrm_small": (0.00080672, 0.002842, 333.562177),
    "gnmt": (0.10553856, 0.0871805, 243.897601),
    "gpt2_decode": (0.134148864, 0.225361, 124.439808),
    "gpt2_small": (106.339037952, 245.417041, 124.439808),
    "lstm_forecast": (0.258158592, 1.179696, 1.348098),
    "lstm_lm": (1.785, 1.19, 66.022),
    "mobilenet_v3_large": (0.21658976, 4.407168, 5.483032),
    "ncf": (0.000106624, 0.000449, 31.832577),
    "resnet50": (4.089184256, 11.114984, 25.557032),
    "ssd300": (20.150906112, 31.323468, 22.894902),
    "transformer_base": (1.5861248, 2.935, 63.045632),
    "unet": (192.384335872, 159.90784, 31.036546),
    "vit_b16": (17.563828224, 23.895544, 86.567656),
}
"""Of dlbench's own models: 1e9 multiply-accumulates, millions of activations, millions of parameters.

Of one of the model's units, forward. Activations are what convolutions and products write, as timm's
tables count them. Tables that do not state sizes get these, and a test counts them on the built models.
"""


ACTIVATIONS_M = {
    ("arcface_r50", "full"): 5.871104,
    ("bert_base", "full"): 14.156546,
    ("bert_base", "pretrain"): 14.782346,
    ("bert_base", "seq384"): 56.623874,
    ("deepspeech2", "full"): 25.9665,
    ("dlrm_small", "full"): 0.002842,
    ("gnmt", "full"): 4.359025,
    ("gpt2_decode", "full"): 0.225361,
    ("gpt2_small", "full"): 245.417041,
    ("gpt2_small", "prefill512"): 84.984913,
    ("lstm_forecast", "full"): 1.179696,
    ("lstm_lm", "full"): 1.19,
    ("mobilenet_v3_large", "full"): 4.407168,
    ("ncf", "full"): 0.000449,
    ("resnet50", "full"): 11.114984,
    ("ssd300", "full"): 31.323468,
    ("transformer_base", "full"): 2.935,
    ("unet", "full"): 159.90784,
    ("vit_b16", "full"): 23.895544,
}
"""Millions of numbers that convolutions and products of one sample write in inference, by variant."""
ACTIVATIONS_TRAINED_M = ACTIVATIONS_M | {
    ("arcface_r50", "full"): 5.956846,
    ("gpt2_small", "full"): 296.829952,
    ("gpt2_small", "prefill512"): 110.66624,
}
"""In a forward pass of training: GPT-2 writes the logits of every position, ArcFace those of people."""


def canonical(model: str) -> str:
    """One name for what several sources call by several."""
    name = _TARGET.sub("", model.strip().lower())
    if squad := _SQUAD.match(name):
        return squad[1]
    for pattern, known in _ALIASES:
        if pattern.match(name):
            return known
    return name


def family(model: str) -> str:
    """The family of a model by its name; ``other`` where the name tells nothing."""
    name = model.lower()
    return next((family for family, pattern in _COMPILED if pattern.search(name)), OTHER)


def unit_as_counted(model: str, unit: str) -> str:
    """The unit of a canonical model's rate, of whose samples a token may be one."""
    return unit_of(model) if (model, unit) == ("gnmt", "tokens/s") else unit


def unit_of(model: str) -> str:
    """What is counted of a canonical model."""
    return UNITS[model].name if model in UNITS else "samples/s"
