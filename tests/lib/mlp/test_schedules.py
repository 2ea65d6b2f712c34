"""Learning-rate schedules against torch's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, MultiStepLR, SequentialLR

from lib.mlp.schedules import SCHEDULES, epoch_factors, step_factors
from lib.mlp.trial import Trial

STEPS = 120


@pytest.mark.parametrize("schedule", list(SCHEDULES))
@pytest.mark.parametrize("warm", [0, 2, 20])
def test_a_schedule_equals_torch_s_step_by_step(schedule, warm):
    rest = STEPS - warm
    optimizer = torch.optim.SGD([torch.zeros(1)], 1.0)
    after = {
        "constant": lambda: ConstantLR(optimizer, 1.0),
        "cosine": lambda: CosineAnnealingLR(optimizer, rest),
        "step": lambda: MultiStepLR(optimizer, [math.ceil(0.6 * rest), math.ceil(0.85 * rest)], 0.1),
    }[schedule]
    theirs = after() if not warm else None
    if theirs is None:
        theirs = SequentialLR(optimizer, [LinearLR(optimizer, 1 / warm, 1.0, warm - 1), after()], [warm])
    rates = []
    for _ in range(STEPS):
        rates.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    np.testing.assert_allclose(step_factors(schedule, warm / STEPS, STEPS, 0, STEPS), rates, rtol=1e-12, atol=1e-12)


def test_nothing_scheduled_multiplies_with_exactly_one():
    assert (step_factors("constant", 0.0, 7, 0, 9) == 1).all()


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_an_epoch_has_its_part_of_each_trial_s_whole_course(schedule):
    trials = [Trial(schedule=schedule, warmup=0.3, epochs=epochs) for epochs in (2, 5)]
    for column, trial in enumerate(trials):
        whole = step_factors(schedule, 0.3, 4 * trial.epochs, 0, 4 * trial.epochs)
        parts = [epoch_factors(trials, 4 * epoch, 4)[:, column] for epoch in range(trial.epochs)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_schedule_stays_at_its_end_when_training_goes_on():
    assert step_factors("cosine", 0.5, 4, 4, 3).tolist() == [0, 0, 0]
    assert step_factors("step", 0.0, 4, 4, 2) == pytest.approx([0.01, 0.01])
