"""Parameters of pre-training: what is refused, how it is said, and what the optimiser makes of them."""

import json
import re
from dataclasses import dataclass

import pytest
import torch

from medslip_core.backbone import Trunk
from medslip_core.optimisation import (
    WeightAverage,
    freeze_stages,
    learning_rate,
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
)
from medslip_core.parameters import ParameterError, Parameters, parameter, read_values
from medslip_core.pretrain_params import PretrainParams


def test_the_defaults_are_the_published_setting():
    params = PretrainParams()
    assert (params.learning_rate, params.weight_decay, params.epochs, params.batch_size) == (1e-4, 0.02, 100, 64)
    assert (params.warmup_learning_rate, params.final_learning_rate, params.warmup_epochs) == (1e-5, 1e-5, 5)
    assert params.augment.crop_scale == (0.2, 1.0) and params.augment.flip_prob == 0.5
    assert params.negatives == 7 and params.existence_weight == params.protocl_weight == params.icl_weight == 1


def test_the_file_that_the_chapter_leaves_is_read(tmp_path):
    """Learning rates such as 1e-05, which YAML takes for text."""
    params = PretrainParams(warmup_learning_rate=1e-5)
    file = tmp_path / "params.json"
    file.write_text(json.dumps(params.to_dict(), indent=1))
    assert PretrainParams.from_dict(read_values(file)) == params
    file.write_text("{")
    with pytest.raises(ParameterError, match="not readable as JSON"):
        read_values(file)


def test_plain_values_go_through_json_and_back():
    values = {"epochs": 3, "warmup_epochs": 1, "model": {"backbone": "resnet18"}, "augment": {"crop_scale": [0.5, 1]}}
    params = PretrainParams.from_dict(values)
    assert params.warmup_epochs == 1.0 and params.augment.crop_scale == (0.5, 1.0)
    assert PretrainParams.from_dict(json.loads(json.dumps(params.to_dict()))) == params


@pytest.mark.parametrize("values, message", [
    ({"learnig_rate": 1e-3}, "learnig_rate: unknown parameter; the nearest valid name is learning_rate"),
    ({"augment": {"flip": 0.5}}, "augment: flip: unknown parameter; the nearest valid name is flip_prob"),
    ({"model": {"hiden_dim": 64}}, "model: hiden_dim: unknown parameter; the nearest valid name is hidden_dim"),
    ({"model": {"hidden_dim": "64"}}, "model: hidden_dim: '64' is str, not int"),
    ({"model": {"image_mean": 0.5}}, "model: image_mean: 0.5 is not a list"),
    ({"model": {"image_std": [0.5]}}, "model: image_std: (0.5,) is not one value for each of 3 channels"),
    ({"model": {"hidden_dim": 30}}, "model: decoder_heads: 4 does not divide hidden_dim (30)"),
    ({"model": {"hidden_dim": 6, "decoder_heads": 2, "memory_position": "sincos2d"}},
     "model: hidden_dim: 6 is not a multiple of 4, which sincos2d wants"),
    ({"seed": 2**63}, "seed: 9223372036854775808 is out of range"),
    ({"learning_rate": "1e-4"}, "learning_rate: '1e-4' is str, not float (write 0.0001: YAML reads 1e-4 as text)"),
    ({"learning_rate": "1e-5"}, "'1e-5' is str, not float (write 1.0e-05: YAML reads 1e-5 as text)"),
    ({"epochs": 2.5}, "epochs: 2.5 is float, not int"),
    ({"epochs": True}, "epochs: True is bool, not int"),
    ({"frozen_batch_norm": 1}, "frozen_batch_norm: 1 is int, not bool"),
    ({"epochs": 0}, "epochs: 0 is out of range (from 1 upwards)"),
    ({"learning_rate": float("nan")}, "learning_rate: nan is not finite"),
    ({"precision": "bf61"}, "precision: 'bf61' is none of auto, no, bf16, fp16; the nearest is bf16"),
    ({"augment": {"crop_scale": 0.5}}, "augment: crop_scale: 0.5 is not a list of 2 values"),
    ({"augment": {"crop_scale": [1.0, 0.5]}}, "the lower value comes first"),
    ({"augment": {"crop_scale": [0.5, 2.0]}}, "2.0 is out of range (from 0.01 to 1)"),
    ({"augment": None}, "augment: None is not a set of named values (AugmentParams)"),
    ({"epochs": 3}, "warmup_epochs: 5.0 must be less than epochs (3)"),
    ({"batch_size": 2, "accumulation_steps": 4}, "accumulation_steps: 4 exceeds batch_size (2)"),
])  # fmt: skip
def test_wrong_parameters_are_named(values, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        PretrainParams.from_dict(values)


@pytest.mark.parametrize("given", ["icl", ["epochs"], None, 3])
def test_what_is_no_set_of_named_values_is_refused(given):
    told = re.escape(f"{given!r} is not a set of named values (PretrainParams)")
    with pytest.raises(ParameterError, match=told):
        PretrainParams.from_dict(given)


def test_a_mapping_without_a_value_has_that_of_the_field():
    @dataclass(frozen=True)
    class Some(Parameters):
        shared: dict = parameter(lambda: {"a": 1}, "a default with something in it")

    one, other = Some(), Some()
    assert one.shared == {"a": 1} and one.shared is not other.shared


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ParameterError) as error:
        PretrainParams.from_dict({"epoch": 3, "seed": -1, "weight_decay": "much"})
    assert all(word in str(error.value) for word in ("epoch:", "seed: -1", "weight_decay: 'much'"))


def test_the_schedule_warms_up_and_falls_as_a_cosine():
    params = PretrainParams(epochs=10, warmup_epochs=2.0)
    rates = [learning_rate(params, epochs) for epochs in (0, 1, 2, 6, 10, 11)]
    assert rates == pytest.approx([1e-5, 5.5e-5, 1e-4, 5.5e-5, 1e-5, 1e-5])
    assert learning_rate(PretrainParams(warmup_epochs=0.0), 0) == 1e-4


class Toy(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Conv2d(2, 2, 3))
        self.head = torch.nn.Linear(2, 2)


def test_decay_spares_biases_and_norms_and_the_trunk_has_its_rate():
    model = Toy()
    optimizer = make_optimizer(model, PretrainParams(trunk_learning_rate_scale=0.1))
    found = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for name, weights in model.named_parameters():
        group = found.pop(id(weights))
        assert group["weight_decay"] == (0.02 if weights.ndim > 1 else 0.0), name
        assert group["learning_rate_scale"] == (0.1 if name.startswith("trunk") else 1.0), name
    assert not found


def test_frozen_stages_include_the_stem():
    trunk = Trunk("resnet10t", stage=2)
    frozen = freeze_stages(trunk, 2)
    learns = {name.split(".")[0] for name, weights in trunk.network.named_parameters() if weights.requires_grad}
    assert learns == {"layer2"} and trunk.network.bn1 in frozen
    with pytest.raises(ValueError, match=r"frozen_stages=4: the trunk has 3 stages \(act1, layer1, layer2\)"):
        freeze_stages(trunk, 4)


def test_averaged_weights_follow_and_step_aside():
    model = Toy()
    average = WeightAverage(model, decay=0.5)
    before = model.head.weight.detach().clone()
    with torch.no_grad():
        model.head.weight += 1
    average.update(model)  # the first update keeps 2 / 11 of the old
    expected = before + 9 / 11
    with average.in_place_of(model):
        assert torch.allclose(model.head.weight, expected)
    assert torch.equal(model.head.weight, before + 1)


def test_the_optimiser_comes_back_in_the_layout_of_its_parameters():
    def build():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2))
        model.to(memory_format=torch.channels_last)
        return model, torch.optim.AdamW([{"params": [p]} for p in model.parameters()], lr=1e-2)

    def step(model, optimizer):
        optimizer.zero_grad()
        model(torch.ones(2, 3, 8, 8)).square().sum().backward()
        optimizer.step()

    model, optimizer = build()
    step(model, optimizer)
    saved, weights = optimizer_tensors(model, optimizer), {k: v.clone() for k, v in model.state_dict().items()}
    assert set(saved) == {f"{n}/{e}" for n in weights for e in ("step", "exp_avg", "exp_avg_sq")}
    again, other = build()
    again.load_state_dict(weights)
    load_optimizer_tensors(again, other, {name: tensor.contiguous().clone() for name, tensor in saved.items()})
    assert other.state[again[0].weight]["exp_avg"].stride() == again[0].weight.stride()
    step(model, optimizer)
    step(again, other)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
