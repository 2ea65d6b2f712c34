"""Claims as data: every file is read whole, and each claim has a test that the judge knows."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import accuracy_score, precision_score, recall_score

from lib.errors import ConfigError
from lib.mlp.trial import Trial
from lib.profile import load_profile, parse_profile
from lib.reference import Claims, claims_named, claims_names
from lib.reference.claims import Claim, Test
from lib.reference.judge import _TESTS


@pytest.fixture(params=claims_names())
def claims(request) -> Claims:
    return claims_named(request.param)


def test_every_kind_of_test_is_known_to_the_judge():
    union, _ = get_args(Test)
    assert set(get_args(union)) == set(_TESTS)


def test_every_claim_has_its_own_id_and_is_found_by_it(claims):
    every = [claim for part in claims.parts for claim in part.claims]
    assert len({claim.id for claim in every}) == len(every) > 0
    for part in claims.parts:
        assert claims.part(part.letter) == part
        assert part.data in claims.data
        for claim in part.claims:
            assert claims.claim(claim.id) == claim


def test_settings_and_values_are_those_of_trials(claims):
    for part in claims.parts:
        trial = Trial.model_validate(part.settings)
        assert all(getattr(trial, name) == value for name, value in part.settings.items())


def test_the_built_in_profiles_have_the_studies_that_the_claims_are_of():
    claims = claims_named("reference-study")
    reference = load_profile("reference", environment={})
    assert reference.claims == claims.name
    assert {part.study for part in claims.parts} <= set(reference.graph.nodes)


def test_the_shares_of_the_confusion_matrix_are_read_with_its_axes_named():
    (a, b), (c, d) = (2419, 1071), (2581, 3929)  # predicted classes in rows, true ones in columns
    true, predicted = np.repeat([0, 1, 0, 1], [a, b, c, d]), np.repeat([0, 0, 1, 1], [a, b, c, d])
    claims = claims_named("reference-study")
    recalls = claims.claim("recalls")
    assert recalls.test.printed == tuple(np.round(recall_score(true, predicted, average=None), 4))
    assert claims.claim("hardly-learns").test.printed == accuracy_score(true, predicted)
    (fault,) = [each for each in claims.part("F").faults if f"[[{a}, {b}], [{c}, {d}]]" in each]
    for precision in precision_score(true, predicted, average=None):
        assert f"{precision:.4f}" in fault


def test_unknown_claims_and_tests_are_refused():
    with pytest.raises(ConfigError, match="there are no claims 'another-study'; known: reference-study"):
        claims_named("another-study")
    with pytest.raises(ValidationError, match="horoscope"):
        Claim.model_validate({"id": "x", "question": "?", "test": {"test": "horoscope"}})
    assert parse_profile({"name": "x", "data": {"digits": {"source": "digits"}}}).claims is None
