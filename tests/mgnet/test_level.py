"""ConvLevel: its two kinds, kernels per iteration, and its place in the driver."""

import pytest
import torch
from torch import nn

import mgcore
from mgcore.cycle import run, slash_cycle, v_cycle
from mgnet.conv import FixedConv, conv
from mgnet.level import ConvLevel, FeatureLevel, ResidualLevel, State


def double(module):
    return module.double()


def sigma(channels):
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


def chain(kind, dim=2, seed=0, with_Pi=True):
    """Two linear levels with trained kernels, R, P and Pi."""
    torch.manual_seed(seed)
    levels = []
    for coarsest in (False, True):
        levels.append(
            kind(
                A=conv(dim, 2, 2),
                B=conv(dim, 2, 2),
                R=None if coarsest else conv(dim, 2, 2, stride=2),
                Pi=conv(dim, 2, 2, stride=2) if with_Pi and not coarsest else None,
                P=None if coarsest else nn.Upsample(scale_factor=2),
            ).double()
        )
    levels[0].coarse = levels[1]
    return levels


@pytest.mark.parametrize("dim", [1, 2])
def test_feature_and_residual_form_agree_on_the_way_up_too(dim):
    g = torch.randn(3, 2, *[8] * dim, dtype=torch.float64)
    u = torch.randn_like(g)
    results = []
    for kind in (FeatureLevel, ResidualLevel):
        levels = chain(kind, dim)
        cycle = v_cycle(2, 2, 1)
        state = run(levels, cycle, levels[0].start(g, u))
        results.append((levels[0].solution(state), levels[0].residual_norm(state)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_the_residual_form_is_a_preactivation_resnet_block():
    torch.manual_seed(0)
    A, B = double(conv(2, 4, 4)), double(conv(2, 4, 4))
    before, after = double(sigma(4)), double(sigma(4))
    level = ResidualLevel(A, B, before=before, after=after, R=nn.Identity())
    r = torch.randn(5, 4, 8, 8, dtype=torch.float64)
    state = level.restrict(level.smooth(level.start(r), 1))

    def block(r):
        out = torch.relu(before[0](r))
        out = torch.relu(after[0](B(out)))
        return r - A(out)

    torch.testing.assert_close(state.r, block(r), rtol=1e-13, atol=1e-13)


def test_the_residual_form_computes_A_e_only_when_r_is_read():
    calls = []

    class Counted(nn.Identity):
        def forward(self, x):
            calls.append(x)
            return 0.5 * x

    level = ResidualLevel(Counted(), nn.Identity())
    g = torch.ones(1, 1, 4)
    state = level.smooth(level.start(g), 3)
    assert len(calls) == 2  # nobody has read r after the third step
    assert level.residual_norm(state) == pytest.approx(2 * 0.5**3)
    torch.testing.assert_close(level.smooth(state, 1).u, level.smooth(level.start(g), 4).u)


def test_iteration_by_hand_with_one_kernel_per_iteration():
    torch.manual_seed(1)
    A = [double(conv(1, 2, 2)) for _ in range(2)]
    B = [double(conv(1, 2, 2)) for _ in range(2)]
    up = [double(conv(1, 2, 2)) for _ in range(2)]
    g = torch.randn(1, 2, 9, dtype=torch.float64)
    level = FeatureLevel(A, B, B_up=up)
    u = B[0](g)
    u = u + B[1](g - A[1](u))
    torch.testing.assert_close(level.smooth(level.start(g), 2).u, u)
    # On the way up the other list is used, from its beginning.
    level.P = nn.Identity()
    e = torch.randn_like(g)
    v = u + e
    v = v + up[0](g - A[0](v))
    v = v + up[1](g - A[1](v))
    torch.testing.assert_close(level.ascend(State(u, g), State(e, g), 2).u, v)


def test_sweeps_group_kernels_into_one_step():
    kernels = [FixedConv(torch.tensor([w]).double()) for w in (0.5, 0.25)]
    A = FixedConv(torch.tensor([0.0, 1.0, 0.0]).double(), padding=1)
    level = FeatureLevel(A, kernels, sweeps=2)
    g = torch.ones(1, 1, 5, dtype=torch.float64)
    # The residual after one step is (1 - 1/2)(1 - 1/4), after two its square.
    torch.testing.assert_close(1 - level.smooth(level.start(g), 2).u, torch.full_like(g, 0.375**2))


def test_the_coarser_level_is_not_a_submodule():
    fine, coarse = chain(FeatureLevel)
    assert fine.coarse is coarse
    assert {id(p) for p in fine.parameters()}.isdisjoint(map(id, coarse.parameters()))
    assert not any("coarse" in name for name in fine.state_dict())


def test_fixed_kernels_are_fixed_and_trained_ones_trained():
    stencil = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]])
    fixed = FixedConv(stencil, padding=1)
    assert not fixed.weight.requires_grad
    assert fixed.requires_grad_().weight.requires_grad
    assert stencil.sum() == 0  # the caller's stencil is not shared
    assert conv(2, 3, 4).weight.requires_grad


def test_slash_cycle_over_conv_levels_gives_the_coarsest_state():
    levels = chain(FeatureLevel)
    g = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    state = run(levels, slash_cycle((1, 1)), levels[0].start(g))
    assert levels[1].solution(state).shape == (1, 2, 4, 4)


def test_the_kind_of_a_level_is_its_class():
    for kind in (FeatureLevel, ResidualLevel):
        level = kind(nn.Identity(), nn.Identity())
        assert isinstance(level, ConvLevel)
        assert repr(level).startswith(f"{kind.__name__}(\n  sweeps=1")
    with pytest.raises(TypeError, match="abstract class ConvLevel"):
        ConvLevel(nn.Identity(), nn.Identity())


def unlinked():
    level = chain(FeatureLevel)[0]
    level.coarse = None
    return level


START = State(None, torch.ones(1, 2, 8, 8, dtype=torch.float64))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FeatureLevel([], nn.Identity()), "A needs at least one module"),
        (lambda: ResidualLevel(nn.Identity(), nn.Identity(), sweeps=0), "1 or more"),
        (lambda: run(chain(FeatureLevel), mgcore.full_multigrid(2), START), "full multigrid needs"),
        (lambda: chain(FeatureLevel)[1].restrict(START), "no restriction"),
        (lambda: unlinked().restrict(START._replace(u=START.g)), "set level.coarse"),
        (lambda: chain(FeatureLevel)[1].prolong(START, START), "no prolongation"),
    ],
)  # fmt: skip
def test_what_a_level_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
