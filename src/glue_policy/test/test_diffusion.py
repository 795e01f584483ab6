import pytest
import torch

from glue_policy.nets.ddim import DdimSampler
from glue_policy.nets.unet1d import ConditionalUnet1d
from glue_policy.policies.configuration import Prediction


def unet() -> ConditionalUnet1d:
    torch.manual_seed(0)
    return ConditionalUnet1d(action_dim=10, condition_dim=20, channels=(16, 24, 32), step_dim=16)


def test_unet_keeps_the_shape_and_listens_to_its_inputs() -> None:
    model, x = unet(), torch.randn(3, 16, 10)
    step, condition = torch.tensor([0, 50, 99]), torch.randn(3, 20)
    out = model(x, step, condition)
    assert out.shape == (3, 16, 10)
    assert not torch.allclose(out, model(x, step, condition + 1.0))
    assert not torch.allclose(out, model(x, step // 2 + 1, condition))


def test_samples_of_a_batch_do_not_mix() -> None:
    model, x = unet().eval(), torch.randn(3, 16, 10)
    step, condition = torch.tensor([0, 50, 99]), torch.randn(3, 20)
    alone = model(x[1:2], step[1:2], condition[1:2])
    torch.testing.assert_close(model(x, step, condition)[1:2], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("prediction", Prediction)
@pytest.mark.parametrize("steps", [1, 10, 16, 100])
def test_ddim_recovers_what_a_perfect_model_knows(steps: int, prediction: Prediction) -> None:
    sampler = DdimSampler(100, prediction)
    clean = torch.rand(2, 16, 10, generator=torch.Generator().manual_seed(1)) * 1.8 - 0.9
    ones, zeros = torch.ones_like(clean), torch.zeros_like(clean)

    def perfect(noisy: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        if prediction is Prediction.SAMPLE:
            return clean
        signal, noise = sampler.add_noise(ones, zeros, step), sampler.add_noise(zeros, ones, step)
        return (noisy - signal * clean) / noise

    found = sampler.sample(perfect, torch.randn(2, 16, 10, generator=torch.Generator().manual_seed(0)), steps)
    torch.testing.assert_close(found, clean, atol=1e-3, rtol=0)


def test_noise_grows_from_almost_none_to_almost_all() -> None:
    sampler = DdimSampler(100)
    ones, zeros = torch.ones(100, 1, 1), torch.zeros(100, 1, 1)
    signal = sampler.add_noise(ones, zeros, torch.arange(100)).flatten()
    assert signal[0] > 0.99
    assert signal[-1] < 0.05
    assert (signal.diff() < 0).all()


def test_sampling_depends_on_the_generator_alone() -> None:
    sampler, model, condition = DdimSampler(100), unet().eval(), torch.randn(1, 20)

    def draw(seed: int) -> torch.Tensor:
        torch.randn(7)  # the global generator must not matter
        g = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            return sampler.sample(lambda x, t: model(x, t, condition), torch.randn(1, 16, 10, generator=g), 5)

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))
    assert draw(3).abs().max() <= 1.0
