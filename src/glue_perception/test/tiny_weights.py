"""A store of weights with tiny random networks, saved in the real formats under the real names."""

import hashlib
from pathlib import Path

import torch
import yaml

from glue_perception.weights.manifest import MANIFEST_FILE

WORDS = ["a", "the", "red", "blue", "green", "button", "block", "mango", "plate", "towel"]


def make_store(root: Path) -> Path:
    """Write one folder per back-end, and a manifest with their true hashes."""
    torch.set_num_threads(1)
    state = torch.get_rng_state()
    try:
        save_grounding_dino(root / "grounding-dino-tiny")
        save_sam(root / "sam-vit-base")
        save_clip(root / "clip-vit-base-patch16")
        save_dinov2(root / "dinov2-base")
    finally:
        torch.set_rng_state(state)
    write_manifest(root)
    return root


def write_manifest(root: Path) -> None:
    """List what lies in a store with the hashes that it has now."""
    entries = [
        {
            "name": folder.name,
            "what": "tiny and random",
            "url": "https://weights.example.org/{file}",
            "files": [
                {
                    "name": file.name,
                    "size_bytes": file.stat().st_size,
                    "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                }
                for file in sorted(folder.iterdir())
                if file.name != "hashes.json"
            ],
        }
        for folder in sorted(root.iterdir())
        if folder.is_dir()
    ]
    (root / MANIFEST_FILE).write_text(yaml.safe_dump({"entries": entries}))


def write_vocabulary(folder: Path) -> Path:
    """BERT's special tokens at BERT's places: Grounding DINO knows [CLS], [SEP], "." and "?" by their numbers."""
    words = [f"[unused{k}]" for k in range(1040)]
    places = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    for place, word in places.items():
        words[place] = word
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "vocab.txt"
    path.write_text("\n".join(words + WORDS) + "\n")
    return path


def grounding_dino_config(vocabulary: int):
    from transformers import BertConfig, GroundingDinoConfig, SwinConfig

    swin = SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=7,
        out_indices=[2, 3, 4],
    )
    bert = BertConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    return GroundingDinoConfig(
        backbone_config=swin,
        text_config=bert,
        num_queries=12,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        d_model=32,
    )


def save_grounding_dino(folder: Path) -> Path:
    from transformers import BertTokenizer, GroundingDinoForObjectDetection, GroundingDinoImageProcessorPil

    tokenizer = BertTokenizer(vocab=str(write_vocabulary(folder)), do_lower_case=True)
    torch.manual_seed(0)
    GroundingDinoForObjectDetection(grounding_dino_config(len(tokenizer))).save_pretrained(folder)
    GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sam_config():
    from transformers import SamConfig

    vision = {
        "hidden_size": 16,
        "output_channels": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 128,
        "mlp_dim": 32,
        "window_size": 4,
        "global_attn_indexes": [1],
        "num_pos_feats": 8,
        "initializer_range": 0.02,
    }
    prompt = {"hidden_size": 16, "image_size": 128, "image_embedding_size": 8, "mask_input_channels": 4}
    decoder = {"hidden_size": 16, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
    return SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)


def save_sam(folder: Path) -> Path:
    from transformers import SamImageProcessorPil, SamModel

    torch.manual_seed(1)
    SamModel(sam_config()).save_pretrained(folder)
    SamImageProcessorPil(
        size={"longest_edge": 128},
        pad_size={"height": 128, "width": 128},
        mask_size={"longest_edge": 32},
        mask_pad_size={"height": 32, "width": 32},
    ).save_pretrained(folder)
    return folder


def save_clip(folder: Path) -> Path:
    """The whole CLIP of text and image, as the publisher's file is: a pickle of plain tensors."""
    from transformers import CLIPConfig, CLIPModel

    text = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "vocab_size": 20}
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    config = CLIPConfig(
        text_config={**text, "num_hidden_layers": 1, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1},
        vision_config={**vision, "image_size": 64, "patch_size": 16},
        projection_dim=16,
    )
    torch.manual_seed(2)
    model = CLIPModel(config)
    model.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def save_dinov2(folder: Path) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(3)
    config = Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=70
    )
    Dinov2Model(config).save_pretrained(folder)
    return folder
